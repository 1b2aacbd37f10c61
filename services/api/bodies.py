"""How bodies are read: JSON in UTF-8, as every parser reads it alike. Source: RFC 8259; RFC 7493 (I-JSON); RFC 9110, section 8.

A text that two parsers read in two ways is refused: a member that is there twice, NaN, another encoding than UTF-8.
"""

import json
import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.errors import UnsupportedMediaType

WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose bodies say nothing (RFC 9110, section 9.3). Nobody reads them."""
MARKED: Final = "body"
MANY_FAULTS: Final = 1_000
"""A body with more faults is refused as a whole. To list one takes 4 µs, on the event loop; 1 MB may have 500,000."""
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]*)", re.IGNORECASE)
_UTF_8: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_NO_NUMBER: Final = object()
"""Stands for NaN and the infinities, which are no JSON, until the member is known whose value it is."""
ENOUGH_TO_TELL: Final = 4
"""Bytes by which an encoding of JSON is known."""


class NotJson(ValueError):
    """A text can't be read as JSON. `member` is the name of what is at fault, None where that is the text itself."""

    def __init__(
        self, message: str = "can't be read as JSON", *, kind: str = "json_invalid", member: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.kind, self.member = message, kind, member

    def as_refusal(self) -> RequestValidationError:
        """The answer to a request with such a body."""
        location = (MARKED,) if self.member is None else (MARKED, self.member)
        return RequestValidationError([{"loc": location, "type": self.kind, "msg": self.message}])


def insist_on_plain(method: str, headers: Headers) -> None:
    """Refuse a body that no route can read, before any of it is read.

    Raises:
        UnsupportedMediaType: it is compressed, or a text in another character set than UTF-8.

    """
    if method in WITHOUT_BODY or not (headers.get("transfer-encoding") or headers.get("content-length", "0") != "0"):
        return
    codings = ",".join(headers.getlist("content-encoding")).lower().split(",")
    if any(coding.strip() not in {"", "identity"} for coding in codings):
        raise UnsupportedMediaType("Content-Encoding: send the body as it is", field="Content-Encoding")
    if any(charset.lower() not in _UTF_8 for charset in _CHARSET.findall(headers.get("content-type", ""))):
        raise UnsupportedMediaType("Content-Type: send the body in UTF-8")


def is_json(headers: Headers) -> bool:
    """Whether a body is declared as JSON: `application/json`, or `application/…+json` (RFC 6839)."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def insist_on_utf_8(beginning: bytes) -> None:
    """Refuse JSON in another encoding, or with a byte order mark, by its first bytes.

    Raises:
        UnsupportedMediaType: this is such a text.

    """
    if json.detect_encoding(beginning[:ENOUGH_TO_TELL]) != "utf-8":
        raise UnsupportedMediaType("Content-Type: send the body in UTF-8, without a byte order mark")


def read_json(text: bytes) -> Any:  # noqa: ANN401
    """The value of a JSON text.

    Raises:
        NotJson: the text is none; it nests too deeply, or has a number of too many digits; an object has a member twice; a
            number is none (NaN, Infinity).
        UnsupportedMediaType: it is no UTF-8, or has a byte order mark.

    """
    insist_on_utf_8(text)
    has_no_number = False

    def stand_in(_name: str) -> object:
        nonlocal has_no_number
        has_no_number = True
        return _NO_NUMBER

    try:
        read = json.loads(text.decode(), object_pairs_hook=_members, parse_constant=stand_in)
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except JSONDecodeError as error:
        raise NotJson(f"can't be read as JSON (character {error.pos + 1})") from None
    except ValueError:  # no UTF-8, or too many digits
        raise NotJson from None
    if has_no_number:
        raise NotJson("must have no NaN and no Infinity")
    return read


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotJson("must be there only once", kind="member_repeated", member=_first_twice(pairs))
    for name, value in pairs:
        if value is _NO_NUMBER:
            raise NotJson("must be a number that JSON has", kind="finite_number", member=name)
    return members


def _first_twice(pairs: list[tuple[str, Any]]) -> str:
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is there twice")


class JsonRequest(Request):
    """A request whose body was read, or is none. `read` is the JSON, and `fitted` the same in the form of its route."""

    read: Any = None
    fitted: Any = None

    async def json(self) -> Any:  # noqa: ANN401
        """The body's value, for FastAPI."""
        return self.fitted


def insist_on_few(error: ValidationError) -> None:
    """Refuse a body as a whole that has too many faults. Belongs before these are listed.

    Raises:
        RequestValidationError: this is so.

    """
    if (count := error.error_count()) > MANY_FAULTS:
        message = f"has {count} faults. Only up to {MANY_FAULTS} are listed"
        raise RequestValidationError([{"loc": (MARKED,), "type": "too_many_faults", "msg": message}]) from None


def fit(form: TypeAdapter[Any], value: Any) -> Any:  # noqa: ANN401
    """The value in this form. As it is where it does not fit: FastAPI finds the faults again then, and lists them.

    Raises:
        RequestValidationError: there are too many faults.

    """
    try:
        return form.validate_python(value, from_attributes=True)
    except ValidationError as error:
        insist_on_few(error)
        return value


class JsonRoute(APIRoute):
    """A route that reads its body in this way. Routes that read no JSON are as they are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which refuses a body before anything else is looked at."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        form = TypeAdapter[Any](self.body_field.field_info.annotation or Any)

        async def read_and_handle(request: Request) -> Response:
            read = JsonRequest(request.scope, request.receive)
            try:
                body = await read.body()
            except ClientDisconnect as error:
                raise HTTPException(HTTPStatus.BAD_REQUEST) from error
            if body:
                if not is_json(request.headers):
                    raise UnsupportedMediaType("Content-Type: send the body as application/json")
                try:
                    read.read = read_json(body)
                    read.fitted = fit(form, read.read)
                except NotJson as error:
                    raise error.as_refusal() from None
            return await handle(read)

        return read_and_handle
