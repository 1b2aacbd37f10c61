"""Types of request fields that more than one domain uses."""

import re
from typing import Annotated, Final

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from shared.ids import MAX_BIGINT
from shared.protocol.frames import usage_metadata
from shared.token_usage import TokenUsage
from shared.visible_text import is_blank

BigIntId = Annotated[int, Path(ge=1, le=MAX_BIGINT)]
"""An id in a path, as PostgreSQL's bigint holds it."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def _storable(value: object) -> object:
    """Refuse a text that PostgreSQL can't store. The message names the first such character and where it stands, from 1."""
    if isinstance(value, str) and (found := _UNSTORABLE.search(value)):
        what = "the NUL character" if found[0] == "\0" else f"half a surrogate pair, U+{ord(found[0]):04X}"
        raise ValueError(f"must not contain {what} (character {found.start() + 1})")
    return value


Storable = BeforeValidator(_storable)
"""Comes before a text's constraints, since pydantic has another code and no place for half a surrogate pair."""

Text = Annotated[str, Storable]


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise ValueError("must not be blank")
    return text


NotBlank = AfterValidator(_not_blank)
"""Refuses a text of which people see nothing."""


class Body(BaseModel):
    """A request's body. A field that it does not have is refused, so that no client believes to have set it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _usage_on_the_wire(kept: object) -> object:
    """The usage that a row keeps, as clients read it; rows of older releases are in that form."""
    usage = TokenUsage.from_row(kept) if isinstance(kept, dict) else None
    return usage_metadata(usage) if usage else kept


WireUsage = Annotated[dict[str, int] | None, BeforeValidator(_usage_on_the_wire)]
"""Token counts, in the stream's spelling."""


class View(BaseModel):
    """A response's body, made from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
