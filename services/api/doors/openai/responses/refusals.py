"""How a value that is out of the bounds of its type is refused: by its place in the request, as its client knows that."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from services.api.bodies import insist_on_few
from shared.errors import InvalidInput, ParameterNotSupported

_OTHER: Final = frozenset({"extra_forbidden", "value_error"})
"""What is of its type, and is not taken here."""


@contextmanager
def naming(at: str, names: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Refuse what stands at this place and fits no type. `names` are the client's names of members, by ours.

    Raises:
        InvalidInput: a member is missing, or out of its bounds.
        RequestValidationError: there are too many faults.
        ParameterNotSupported: a member is not known, or has a value that is not taken here.

    """
    try:
        yield
    except ValidationError as error:
        insist_on_few(error)
        found = error.errors(include_input=False, include_url=False)[0]
        field = ".".join([at, *(names.get(str(part), str(part)) for part in found["loc"])])
        why = "is not known here" if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
        if found["type"] in _OTHER:
            raise ParameterNotSupported(field, why) from None
        raise InvalidInput(f"{field}: {why}", field=field) from None


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse what is out of the bounds of the parameters' types, by its place in them.

    Raises:
        InvalidInput: this is so.
        RequestValidationError: there are too many faults.

    """
    try:
        yield
    except ValidationError as error:
        insist_on_few(error)
        found = error.errors()[0]
        field = ".".join(str(part) for part in found["loc"])
        raise InvalidInput(f"{field}: {found['msg'].removeprefix('Value error, ')}", field=field) from error
