"""The prompt: which messages the model gets. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.worker import prompts
from services.worker.models.port import ModelMessage
from services.worker.models.tokens import CHARS_PER_TOKEN, count_tokens
from shared.memory.facts import Fact

MEMORY_SHARE: Final = 2
"""The number of equal parts of the budget of which the memory gets one at most."""


@dataclass(frozen=True, slots=True)
class ChatMemory:
    """What the model gets instead of the older messages."""

    summary: str | None = None
    facts: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The prompt, its size in tokens, and how many of the history's oldest messages are left out of it."""

    conversation: list[ModelMessage]
    tokens: int
    left_out: int


def assemble(
    memory: ChatMemory,
    history: Sequence[ModelMessage],
    *,
    after: Sequence[ModelMessage] = (),
    budget: int,
    today: date,
    is_short: bool = False,
) -> Context:
    """The prompt: the system prompt with the memory, the history up to the question, then `after`.

    `after` are the answer's own steps, and the text that the model is to continue. `budget` is the prompt's size in
    tokens. When the history does not fit, its oldest messages are left out, but never the question. `is_short` is for
    models that a long system prompt confuses.
    """
    instruction = prompts.system(today, is_short=is_short)
    system = ModelMessage("system", _system(memory, instruction, budget * CHARS_PER_TOKEN // MEMORY_SHARE))
    taken = sum(count_tokens(message) for message in (system, *after))
    kept: list[ModelMessage] = []
    for message in reversed(history):
        size = count_tokens(message)
        if taken + size > budget and kept:
            break
        taken += size
        kept.append(message)
    return Context([system, *reversed(kept), *after], taken, len(history) - len(kept))


def _system(memory: ChatMemory, text: str, max_chars: int) -> str:
    """The system prompt `text`, with the memory in at most `max_chars` characters.

    The oldest facts are cut, then the summary's end.
    """
    if not memory.summary and not memory.facts:
        return text
    summary = (memory.summary or "")[:max_chars]
    left = max_chars - len(summary)
    facts: set[Fact] = set()
    # The pinned facts are chosen first, then the newest. The prompt has them in the order of their positions.
    for fact in sorted(memory.facts, key=lambda fact: (not fact.pinned, -(fact.position or 0))):
        left -= len(fact.text) + CHARS_PER_TOKEN
        if left < 0:
            break
        facts.add(fact)
    return text + prompts.memory(summary, [fact.text for fact in memory.facts if fact in facts])
