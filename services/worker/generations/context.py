"""What the model is told. Pure."""

from collections.abc import Sequence
from typing import Final

from services.worker import prompts
from services.worker.model import Said

CHARS_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4


def assemble(history: Sequence[Said], *, written: str, budget: int) -> list[Said]:
    """System prompt, then the history up to the question, then what is already written of the answer.

    `budget` is in tokens, the reply not counted; when the history does not fit, its oldest messages are left out, but
    never the question.
    """
    system = Said("system", prompts.SYSTEM)
    prefill = [Said("assistant", written)] if written else []
    left = budget - sum(tokens(said) for said in (system, *prefill))
    kept: list[Said] = []
    for said in reversed(history):
        left -= tokens(said)
        if left < 0 and kept:
            break
        kept.append(said)
    return [system, *reversed(kept), *prefill]


def tokens(said: Said) -> int:
    """Roughly how many tokens a message takes."""
    return len(said.content) // CHARS_PER_TOKEN + TOKENS_PER_MESSAGE
