"""Bodies of the memory routes."""

from typing import Annotated

from pydantic import Field, StringConstraints

from services.api.fields import Body, NotBlank, Storable, Text, View
from shared.ids import MAX_BIGINT
from shared.memory.facts import FACT_MAX_CHARS


class FactView(Body):
    """Something that the user said, at a position of the chat, or wrote into the memory, without a position.

    A pinned fact stays until the user removes it.
    """

    text: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=FACT_MAX_CHARS),
        Storable,
        NotBlank,
    ]
    position: Annotated[int, Field(ge=1, le=MAX_BIGINT)] | None = None
    pinned: bool = False


class MemoryView(View):
    """What the model reads of a chat's older messages: a summary and facts for the positions up to the watermark.

    The model reads the `pending` messages, after the watermark, in full. Each change of the memory raises its version.
    """

    summary: str | None
    facts: list[FactView]
    watermark: int
    pending: int
    version: int


class MemoryChange(Body):
    """Corrections. A field that is left out stays as it is; `facts` replace all facts.

    With a `version`, the memory is only corrected when it has that version. The greatest size of a memory is a setting.
    """

    summary: Text | None = None
    # Validation stops at the first bad fact: a body has room for a hundred thousand, each with errors of its own.
    facts: Annotated[list[FactView], Field(fail_fast=True)] | None = None
    version: Annotated[int, Field(ge=0, le=MAX_BIGINT)] | None = None
