"""Bodies of the memory routes."""

from dataclasses import replace
from datetime import UTC, date
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from services.api.fields import Body, BodyId, Flag, NotBlank, Storable, Text, View
from services.api.memory.edits import FactEdit
from shared.ids import MAX_BIGINT
from shared.memory.chat_memory import ChatMemory, SharedFact
from shared.memory.facts import FACT_MAX_CHARS, Fact, FactKind, FactSource, FactState
from shared.memory.masking import Mask
from shared.memory.segments import Segment, SegmentKind, whole_text

FactText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=FACT_MAX_CHARS), Storable, NotBlank
]
SharedKind = Literal["identity", "health", "preference", "instruction"]
"""The kinds of facts that chats may tell each other."""


class SegmentView(View):
    """A text for the messages at the positions `first` to `last`; 0 to 0 for what the user wrote into a new chat.

    `kind`: `summary` is a model's, `extract` is made of the messages' own sentences, `edited` is the user's.
    """

    id: int
    first: int
    last: int
    text: str
    kind: SegmentKind

    @classmethod
    def of(cls, segment: Segment) -> Self:
        """The view of a segment."""
        return cls(id=segment.id, first=segment.first, last=segment.last, text=segment.text, kind=segment.kind)


class FactView(View):
    """Something that was said at a position of the chat, or that the user wrote, without a position.

    `state`: a `current` fact is told to the model. A `replaced` one holds no more, because of the fact `replaced_by`. A
    `forgotten` one was taken back: its text, value and quote are empty. `quote` stands word for word in the message at
    `position`. `source`: who said it (`user`, `assistant`, `web`), or `edited` by the user. `date` is the message's, in UTC.
    """

    id: int
    text: str
    kind: FactKind
    subject: str
    attribute: str
    value: str
    quote: str
    position: int | None
    date: date
    source: FactSource
    pinned: bool
    state: FactState
    replaced_by: int | None

    @classmethod
    def of(cls, fact: Fact) -> Self:
        """The view of a fact."""
        is_told = fact.state != "forgotten"
        return cls(
            id=fact.id,
            text=fact.text if is_told else "",
            kind=fact.kind,
            subject=fact.subject,
            attribute=fact.attribute,
            value=fact.value if is_told else "",
            quote=fact.quote if is_told else "",
            position=fact.position,
            date=_date(fact),
            source=fact.source,
            pinned=fact.is_pinned,
            state=fact.state,
            replaced_by=fact.replaced_by,
        )


class MemoryView(View):
    """What the model is told of a chat's older messages: segments and facts for the positions up to the watermark.

    The model reads the `pending` messages, after the watermark, in full. `summary` is the text of all segments. Each change
    of the memory raises its version.
    """

    summary: str | None
    segments: list[SegmentView]
    facts: list[FactView]
    watermark: int
    pending: int
    version: int

    @classmethod
    def of(cls, memory: ChatMemory) -> Self:
        """The view of a chat's memory. What was taken back is masked in it, as in what the model is told."""
        mask = Mask(memory.forgotten_values)
        segments = [replace(segment, text=mask(segment.text)) for segment in memory.segments]
        return cls(
            summary=whole_text(segments),
            segments=[SegmentView.of(segment) for segment in segments],
            facts=[FactView.of(replace(fact, text=mask(fact.text), quote=mask(fact.quote))) for fact in memory.facts],
            watermark=memory.watermark,
            pending=memory.pending,
            version=memory.version,
        )


class SharedFactView(View):
    """A fact that the user's chats may tell each other. `chat_id` is null for what the user wrote for all chats."""

    id: int
    text: str
    kind: FactKind
    date: date
    source: FactSource
    pinned: bool
    chat_id: int | None
    chat_title: str | None

    @classmethod
    def of(cls, shared: SharedFact) -> Self:
        """The view of a shared fact."""
        fact = shared.fact
        return cls(
            id=fact.id,
            text=fact.text,
            kind=fact.kind,
            date=_date(fact),
            source=fact.source,
            pinned=fact.is_pinned,
            chat_id=fact.chat_id,
            chat_title=shared.chat_title,
        )


class SharedMemoryView(View):
    """What the user's chats may tell each other, and whether they do (`enabled`).

    Facts for all chats and pinned ones come first, then the newest.
    """

    enabled: bool
    facts: list[SharedFactView]


def _date(fact: Fact) -> date:
    return fact.said_at.astimezone(UTC).date()


class SegmentChange(Body):
    """A segment's new text."""

    id: BodyId
    text: Text


class _FactChange(Body):
    """An edit of the fact with this id; without an id, a fact to add.

    A forgotten fact is told no more, and can't be brought back, but for adding its text anew. A pinned fact is told first,
    and stays until the user removes it.
    """

    id: BodyId | None = None
    forgotten: Literal[True] | None = None
    text: Annotated[FactText | None, Field(validate_default=True)] = None
    pinned: Flag | None = None

    @field_validator("forgotten")
    @classmethod
    def _is_of_a_fact(cls, forgotten: bool | None, info: ValidationInfo) -> bool | None:
        if forgotten and info.data.get("id", 0) is None:
            raise ValueError("is for a fact that has an id")
        return forgotten

    @field_validator("text")
    @classmethod
    def _is_there(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is None and info.data.get("id", 0) is None:
            raise ValueError("is required for a new fact")
        return text

    @field_validator("text", "pinned", "kind", check_fields=False)
    @classmethod
    def _is_not_of_a_forgotten_one(cls, given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401
        if given is not None and info.data.get("forgotten"):
            raise ValueError("can't be changed of a fact that is forgotten")
        return given

    def read(self) -> FactEdit:
        """The edit."""
        return FactEdit(**self.model_dump())


class FactChange(_FactChange):
    """An edit of a chat's fact. A new fact may name the position that it belongs to; without a kind, it has the kind `other`."""

    kind: FactKind | None = None
    position: BodyId | None = None

    @field_validator("position")
    @classmethod
    def _is_of_a_new_fact(cls, position: int | None, info: ValidationInfo) -> int | None:
        if position is not None and info.data.get("id") is not None:
            raise ValueError("can't be changed")
        return position


class MemoryChange(Body):
    """Corrections. A field that is left out stays as it is.

    `summary` replaces all segments by this text; null or empty removes their text. `segments` and `facts` are edits of the
    ones that they name, and `facts` without an id are added. With a `version`, the memory is only corrected when it has that
    version. The greatest size of a memory is a setting.
    """

    summary: Text | None = None
    # Validation stops at the first bad item: a body has room for a hundred thousand, each with errors of its own.
    segments: Annotated[list[SegmentChange], Field(fail_fast=True)] | None = None
    facts: Annotated[list[FactChange], Field(fail_fast=True)] | None = None
    version: Annotated[int, Field(strict=True, ge=0, le=MAX_BIGINT)] | None = None


class SharedFactChange(_FactChange):
    """An edit of a fact of any of the user's chats. A new fact, which needs a kind, is told in all chats."""

    kind: Annotated[SharedKind | None, Field(validate_default=True)] = None

    @field_validator("kind")
    @classmethod
    def _is_of_a_new_fact(cls, kind: SharedKind | None, info: ValidationInfo) -> SharedKind | None:
        if kind is None and info.data.get("id", 0) is None:
            raise ValueError(f"must be one of {', '.join(get_args(SharedKind))}")
        if kind is not None and info.data.get("id") is not None:
            raise ValueError("can't be changed here; change it in the chat's memory")
        return kind


class SharedMemoryChange(Body):
    """Changes of what chats may tell each other. `enabled`: whether they do."""

    enabled: Flag | None = None
    facts: Annotated[list[SharedFactChange], Field(fail_fast=True)] | None = None
