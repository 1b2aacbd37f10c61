"""Types of request fields that more than one domain uses."""

import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

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


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=64), Storable, AfterValidator(_known_zone)]
"""The IANA name of a time zone."""


class Body(BaseModel):
    """A request's body. A field that it does not have is refused, so that no client believes to have set it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _usage_on_the_wire(kept: object) -> object:
    """The usage that a row keeps, as clients read it; rows of older releases are in that form."""
    usage = TokenUsage.from_row(kept) if isinstance(kept, dict) else None
    return usage_metadata(usage) if usage else kept


WireUsage = Annotated[dict[str, int | bool] | None, BeforeValidator(_usage_on_the_wire)]
"""Token counts, in the stream's spelling; `isEstimate` is true where there is one."""


class View(BaseModel):
    """A response's body, made from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
