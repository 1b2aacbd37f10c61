"""Segments: what a model is told instead of a chat's older messages, a stretch of messages each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

SegmentKind = Literal["summary", "extract", "edited"]
SEGMENT_BREAK: Final = "\n"


@dataclass(frozen=True, slots=True)
class Segment:
    """A text for the messages at the positions `first` to `last`. An `id` of 0: it is not saved yet.

    `summary` is a model's, `edited` the user's. An `extract` is made of the messages' own sentences, because no model gave
    anything better; `tries` counts how often one was asked since. The user's text in a chat in which nothing is summarized
    has the positions 0 to 0.
    """

    first: int
    last: int
    text: str
    kind: SegmentKind = "summary"
    tries: int = 0
    id: int = 0


def whole_text(segments: Sequence[Segment]) -> str | None:
    """All segments as one text; None where they say nothing."""
    return SEGMENT_BREAK.join(segment.text for segment in segments if segment.text) or None
