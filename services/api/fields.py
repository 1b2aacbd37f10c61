"""Types of request fields that more than one domain uses."""

from typing import Annotated, Final

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from shared.ids import MAX_BIGINT
from shared.protocol.frames import usage_metadata
from shared.token_usage import TokenUsage

BigIntId = Annotated[int, Path(ge=1, le=MAX_BIGINT)]
"""An id in a path, as PostgreSQL's bigint holds it."""

NUL: Final = "\0"


def _storable(text: str) -> str:
    """Refuse what PostgreSQL's text can't hold. Pydantic lets lone surrogates pass unless a constraint makes it look."""
    if NUL in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half a surrogate pair") from None
    return text


Storable = AfterValidator(_storable)
"""Comes after the constraints of a text, which would otherwise be those of any value: other codes, and no stripping first."""

Text = Annotated[str, Storable]


class Body(BaseModel):
    """A request's body. What it does not name is refused, so that no client believes to have set it."""

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
