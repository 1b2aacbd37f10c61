"""Bodies of the memory routes."""

from typing import Annotated

from pydantic import Field, StringConstraints

from services.api.fields import Body, Storable, Text, View
from shared.ids import MAX_BIGINT
from shared.memory.facts import FACT_MAX_CHARS


class FactView(Body):
    """Something that a user said, and where. A pinned one stays until the user removes it; one without position is the user's."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=FACT_MAX_CHARS), Storable]
    position: Annotated[int, Field(ge=1, le=MAX_BIGINT)] | None = None
    pinned: bool = False


class MemoryView(View):
    """What the model is told of a chat's beginning: its summary and facts cover the positions up to the watermark.

    `pending` messages lie past it, and are told in full. Whatever changes the memory raises its version.
    """

    summary: str | None
    facts: list[FactView]
    watermark: int
    pending: int
    version: int


class MemoryChange(Body):
    """What to correct; what is left out stays. `facts` replace all facts. With a `version`, only if that is the memory's.

    How much a memory holds is a setting, at which the route looks.
    """

    summary: Text | None = None
    # The first bad one is enough: a body has room for a hundred thousand, each with errors of its own.
    facts: Annotated[list[FactView], Field(fail_fast=True)] | None = None
    version: Annotated[int, Field(ge=0, le=MAX_BIGINT)] | None = None
