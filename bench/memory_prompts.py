"""Takes apart what a model was told: the memory, what was looked up, and the messages in full."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from memory_corpus import plain
from memory_playing import Segment

from services.worker import prompts
from services.worker.models.port import ModelMessage

_MEMORY: Final = prompts.memory({"a": 1}).partition("{")[0]
_LOOKED_UP: Final = prompts.looked_up([(1, "user", date(2000, 1, 1), "a")]).partition("[")[0]
USERS: Final = frozenset({"user", "edited"})


@dataclass
class Told:
    """A prompt's parts, as compared texts (see `plain`), and the quoted records as JSON.

    `found` is all that the index found, quoted or not.
    """

    system: str = ""
    memory: list[Any] = field(default_factory=list)
    looked_up: list[Any] = field(default_factory=list)
    recent: str = ""
    found: str = ""

    @property
    def memory_text(self) -> str:
        """All that the memory says."""
        return plain("\n".join(_strings(self.memory)))

    @property
    def looked_up_text(self) -> str:
        """All that was looked up."""
        return plain("\n".join(_strings(self.looked_up)))

    @property
    def users_words(self) -> str:
        """What is quoted as the user's own words: records that are by the user, or have the user's role."""
        return plain("\n".join(_by_user([*self.memory, *self.looked_up])))


def take_apart(conversation: Sequence[ModelMessage], question: str) -> Told:
    """The parts of a prompt. The question itself, at its end, belongs to none."""
    told, recent = Told(), list[str]()
    for message in conversation:
        if message.role == "system":
            told.system += plain(message.content)
            continue
        rest = message.content
        for notice, into in ((_MEMORY, told.memory), (_LOOKED_UP, told.looked_up)):
            before, found, after = rest.partition(notice)
            if found:
                record, end = json.JSONDecoder().raw_decode(after)
                into.append(record)
                rest = f"{before}\n{after[end:]}"
        recent.append(plain(rest))
    if not recent or not recent[-1].endswith(plain(question)):
        raise ValueError("the question is not the prompt's end")
    recent[-1] = recent[-1].removesuffix(plain(question))
    told.recent = "\n".join(recent)
    return told


def ledger_faults(
    distinct: Sequence[tuple[int, str]], turn: int, told: Told, watermark: int, segments: Sequence[Segment]
) -> list[str]:
    """Messages before the question of a turn (from 0) that are told neither in full nor by one segment, or twice.

    `distinct` are positions and compared texts.
    """
    faults = list[str]()
    for position, text in distinct:
        if position > 2 * turn:
            break
        in_full = told.recent.count(text)
        covered = sum(one.first <= position <= one.last for one in segments)
        if (in_full, covered) != ((0, 1) if position <= watermark else (1, 0)):
            faults.append(f"turn {turn + 1}: message {position} in full {in_full} times, in {covered} segments")
    return faults


def _strings(record: object) -> Iterator[str]:
    """All texts in a JSON value, without the names of fields."""
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict | list):
        for one in record.values() if isinstance(record, dict) else record:
            yield from _strings(one)


def _by_user(record: object) -> Iterator[str]:
    if isinstance(record, list):
        for one in record:
            yield from _by_user(one)
    elif isinstance(record, dict):
        if {record.get("by"), record.get("role"), record.get("source")} & USERS:
            yield from _strings(record)
        else:
            yield from _by_user(list(record.values()))
