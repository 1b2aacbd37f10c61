"""Types of request fields that more than one domain uses."""

from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from shared.ids import MAX_BIGINT
from shared.protocol.frames import usage_metadata
from shared.token_usage import TokenUsage

BigIntId = Annotated[int, Path(ge=1, le=MAX_BIGINT)]
"""An id in a path, as PostgreSQL's bigint holds it."""

NUL: Final = "\0"


def _storable(text: str) -> str:
    """Refuse a text that PostgreSQL can't store. Pydantic lets lone surrogates pass where a text has no constraint."""
    if NUL in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half a surrogate pair") from None
    return text


Storable = AfterValidator(_storable)
"""Stands after a text's constraints. Before them, pydantic would check any value, with other codes and no stripping."""

Text = Annotated[str, Storable]


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
