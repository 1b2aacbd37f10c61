"""What a chat's memory is made of besides its summary: facts, in the person's own words. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

FACT_MAX_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Fact:
    """A short text that the summary may lack, and the position of the message that it comes from.

    The position is None where the user wrote the fact without naming one. A pinned fact is the user's: only the user
    removes it. A text has at most FACT_MAX_CHARS characters.
    """

    text: str
    position: int | None
    pinned: bool = False


def read_facts(stored: Iterable[dict[str, Any]] | None) -> tuple[Fact, ...]:
    """The facts in a chat's `facts` column. What is no fact is left out; what is too long is cut."""
    return tuple(fact for item in stored or () if (fact := _read(item)) is not None)


def write_facts(facts: Sequence[Fact]) -> list[dict[str, Any]] | None:
    """What `read_facts` reads; None for none."""
    return [{"text": fact.text, "position": fact.position, "pinned": fact.pinned} for fact in facts] or None


def _read(item: dict[str, Any]) -> Fact | None:
    text, position = item.get("text"), item.get("position")
    if not isinstance(text, str) or not text:
        return None
    # An earlier release saved facts of a summary that the user wrote into a new chat with the position 0.
    has_position = isinstance(position, int) and position >= 1
    return Fact(text[:FACT_MAX_CHARS], position if has_position else None, item.get("pinned") is True)
