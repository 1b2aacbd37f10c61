"""What the model is told. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.worker import prompts
from services.worker.models.port import ModelMessage
from services.worker.models.tokens import CHARS_PER_TOKEN, count_tokens
from shared.memory.facts import Fact

MEMORY_SHARE: Final = 2
"""The memory gets at most one part in so many of the budget."""


@dataclass(frozen=True, slots=True)
class ChatMemory:
    """What stands for the messages that are not told in full."""

    summary: str | None = None
    facts: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What the model is told, how many tokens that takes, and how many of the history's oldest messages did not fit."""

    conversation: list[ModelMessage]
    tokens: int
    left_out: int


def assemble(
    memory: ChatMemory, history: Sequence[ModelMessage], *, after: Sequence[ModelMessage] = (), budget: int, today: date
) -> Context:
    """System prompt with the memory, then the history up to the question, then what is already known of the answer.

    `budget` is in tokens, the reply not counted; when the history does not fit, its oldest messages are left out, but
    never the question. `after` is what the answer's own steps have said, or the text to go on from.
    """
    system = ModelMessage("system", _system(memory, today, budget * CHARS_PER_TOKEN // MEMORY_SHARE))
    taken = sum(count_tokens(said) for said in (system, *after))
    kept: list[ModelMessage] = []
    for said in reversed(history):
        size = count_tokens(said)
        if taken + size > budget and kept:
            break
        taken += size
        kept.append(said)
    return Context([system, *reversed(kept), *after], taken, len(history) - len(kept))


def _system(memory: ChatMemory, today: date, max_chars: int) -> str:
    """The system prompt. What the memory's share can't hold of it is cut: the oldest facts, then the summary's end."""
    text = prompts.system(today)
    if not memory.summary and not memory.facts:
        return text
    summary = (memory.summary or "")[:max_chars]
    left = max_chars - len(summary)
    facts: set[Fact] = set()
    # Pinned ones first, then the newest; they are told in the order in which they were said.
    for fact in sorted(memory.facts, key=lambda fact: (not fact.pinned, -(fact.position or 0))):
        left -= len(fact.text) + CHARS_PER_TOKEN
        if left < 0:
            break
        facts.add(fact)
    return text + prompts.memory(summary, [fact.text for fact in memory.facts if fact in facts])
