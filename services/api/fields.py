"""Types of request fields that more than one domain uses."""

import re
from typing import Annotated, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints

from shared.ids import MAX_BIGINT
from shared.protocol.frames import usage_metadata
from shared.token_usage import TokenUsage
from shared.visible_text import as_title, is_blank

_DIGITS: Final = re.compile("0|-?[1-9][0-9]*", re.ASCII)
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def _is_plain_number(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number in its usual spelling")
    return value


def _is_plain_uuid(value: object) -> object:
    if isinstance(value, str) and not _UUID.fullmatch(value):
        raise ValueError("must be a UUID such as 0198c0de-0000-7000-8000-000000000000")
    return value


Digits = BeforeValidator(_is_plain_number)
"""Comes before a number in a path or a query: `1.0`, `1_0`, `+1`, ` 1` and `01` are no other spellings of a number."""

BigIntId = Annotated[int, Path(ge=1, le=MAX_BIGINT), Digits]
"""An id in a path, as PostgreSQL's bigint holds it."""

Uuid = Annotated[UUID, BeforeValidator(_is_plain_uuid)]
"""A UUID as RFC 9562 writes it: with hyphens, in any case, without braces and `urn:uuid:`."""

BodyId = Annotated[int, Strict(), Field(ge=1, le=MAX_BIGINT)]
"""An id in a body: a JSON number without a fraction, no text and no boolean."""

Flag = Annotated[bool, Strict()]
"""Yes or no in a body: true or false, no number and no text."""

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


OneLine = AfterValidator(as_title)
"""For names that lists show: line ends become spaces, and what turns or hides text is left out, as spaces around it are."""


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
