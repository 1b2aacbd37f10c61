"""What is told of a chat's memory within a number of tokens: a record in JSON, the most important first to fit. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from services.worker.models.tokens import Vocabulary, count_told
from shared.memory.chat_memory import ChatMemory, SharedFact
from shared.memory.facts import Fact, FactKind
from shared.memory.masking import Mask
from shared.memory.segments import Segment

RESERVED: Final[Mapping[FactKind, int]] = {
    "identity": 8,
    "health": 8,
    "preference": 14,
    "decision": 8,
    "relation": 6,
}
"""So many facts of a kind are told before others: numbers can't drive out what a person is and likes."""
CHANGES: Final = 8
"""So many facts that change something are told before numbers and dates: those that no segment tells."""
SHARED_LIMIT: Final = 20
"""So many facts of other chats are told at most."""


@dataclass(slots=True)
class Told:
    """The record of a chat's memory as it grows, and the tokens that are left for it. `mask` hides what was taken back.

    `records` are the parts of the record, by the identities of what they tell.
    """

    left: float
    vocabulary: Vocabulary
    mask: Mask = field(default_factory=Mask)
    summaries: list[Segment] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    shared: list[SharedFact] = field(default_factory=list)
    records: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def take(self, one: Segment | Fact | SharedFact) -> bool:
        """Tell this, if there is room for it. Returns whether there is."""
        record = _record(one, self.mask)
        size = count_told(json.dumps(record, ensure_ascii=False), self.vocabulary)
        if size > self.left:
            return False
        self.left -= size
        self.records[id(one)] = record
        return True

    def as_record(self) -> dict[str, Any]:
        """The record, in the order of the chat; empty where nothing is told."""
        facts = sorted(self.facts, key=lambda one: (one.position or 0, one.id))
        record = {
            "summaries": [self.records[id(one)] for one in sorted(self.summaries, key=lambda one: one.first)],
            "facts": [self.records[id(one)] for one in facts],
            "from_other_chats": [self.records[id(one)] for one in self.shared],
        }
        return {name: records for name, records in record.items() if records}


def tell_first(told: Told, memory: ChatMemory) -> None:
    """Tell the pinned facts and the user's instructions: they go before all else."""
    first = (fact for fact in _distinct(memory.current) if fact.is_pinned or fact.kind == "instruction")
    for fact in sorted(first, key=lambda one: (not one.is_pinned, -(one.position or 0))):
        if told.take(fact):
            told.facts.append(fact)


def tell_rest(told: Told, memory: ChatMemory, max_facts: int) -> None:
    """Tell the segments, the newest first, and the other facts: of reserved kinds, then of any kind, then of none.

    Half of the room that is left is for segments; facts get what these leave, and segments what facts leave.
    """
    room = told.left
    told.left = room / 2
    late = [segment for segment in reversed(memory.segments) if not _tell_segment(told, segment)]
    told.left += room / 2
    told_already = {fact.id for fact in told.facts}
    facts = [fact for fact in _ranked(memory, told.summaries) if fact.id not in told_already]
    for fact in facts[: max(0, max_facts - len(told.facts))]:
        if told.take(fact):
            told.facts.append(fact)
    for one in memory.shared[:SHARED_LIMIT]:
        if told.take(one):
            told.shared.append(one)
    for segment in late:
        if not _tell_segment(told, segment):
            break


def _tell_segment(told: Told, segment: Segment) -> bool:
    if not segment.text:
        return True
    if not told.take(segment):
        return False
    told.summaries.append(segment)
    return True


def _ranked(memory: ChatMemory, segments: Sequence[Segment]) -> list[Fact]:
    """The facts that hold, the most important first, beside these segments.

    What changes something goes before what does not: a segment may still tell what was said before.
    """
    newest = sorted(_distinct(memory.current), key=lambda fact: (-(fact.position or 0), -fact.id))
    reserved = list[Fact]()
    for kind, most in RESERVED.items():
        reserved += [fact for fact in newest if fact.kind == kind and fact.source in {"user", "edited"}][:most]
    changing, chosen = {fact.replaced_by for fact in memory.facts}, {fact.id for fact in reserved}
    changes = (fact for fact in newest if (fact.is_change or fact.id in changing) and fact.id not in chosen)
    reserved += islice((one for one in changes if not any(one.text in segment.text for segment in segments)), CHANGES)
    chosen = {fact.id for fact in reserved}
    others = [fact for fact in newest if fact.id not in chosen]
    return [*reserved, *sorted(others, key=lambda fact: (not fact.is_typed, fact.source not in {"user", "edited"}))]


def _distinct(facts: Iterable[Fact]) -> list[Fact]:
    """The facts, each text once: the newest one of a text."""
    by_text = {(fact.text.casefold(), fact.source): fact for fact in sorted(facts, key=lambda fact: fact.position or 0)}
    return list(by_text.values())


def _record(one: Segment | Fact | SharedFact, mask: Mask) -> dict[str, Any]:
    if isinstance(one, Segment):
        return _summary(one, mask)
    return _fact(one, mask) if isinstance(one, Fact) else _shared(one, mask)


def _summary(segment: Segment, mask: Mask) -> dict[str, Any]:
    by = {"edited": "user", "extract": "extract"}.get(segment.kind, "model")
    return {"messages": f"{segment.first}-{segment.last}", "by": by, "text": mask(segment.text)}


def _fact(fact: Fact, mask: Mask) -> dict[str, Any]:
    record: dict[str, Any] = {"position": fact.position} if fact.position else {}
    record |= {"date": fact.said_at.date().isoformat(), "by": fact.source, "kind": fact.kind}
    about = " ".join(filter(None, (fact.subject, fact.attribute)))
    if about and fact.attribute.casefold() not in fact.text.casefold():
        record["about"] = mask(about)
    return record | {"text": mask(fact.text)}


def _shared(one: SharedFact, mask: Mask) -> dict[str, Any]:
    fact = one.fact
    record = {"chat": mask(one.chat_title)} if one.chat_title else {}
    return record | {"date": fact.said_at.date().isoformat(), "kind": fact.kind, "text": mask(fact.text)}
