"""The prompt's size: what an answer is told within its model's bounds, and what is learned when that was too much."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.worker import prompts
from services.worker.generations.context import Context, assemble
from services.worker.generations.history import ChatHistory
from services.worker.generations.reply import Reply
from services.worker.generations.steps import Step, to_model_messages, to_quoted_results
from services.worker.models.capabilities import AnswerBounds, ModelCatalog, learn_context
from services.worker.models.port import ModelMessage, ToolDescription
from services.worker.models.tokens import count_text, count_tokens
from services.worker.prompts import Today
from shared.errors import PromptTooLong
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RESULTS_SHARE: Final = 2
"""The number of equal parts of the prompt of which tool results get one at most."""
MOST_REFUSALS: Final = 5
"""How many prompts of one reply may be refused as too long. Each one after the first is smaller."""


def build_context(
    history: ChatHistory,
    steps: list[Step],
    beginning: str,
    bounds: AnswerBounds,
    *,
    tools: tuple[ToolDescription, ...] = (),
    time_zone: str | None = None,
) -> Context:
    """The prompt: the chat, the steps so far, and the beginning of the answer. `tools` are those that are offered."""
    vocabulary = bounds.vocabulary
    budget = bounds.prompt_tokens - sum(int(count_text(repr(tool), vocabulary)) for tool in tools)
    today = today_in(time_zone)
    fixed = [ModelMessage("system", prompts.system(today)), ModelMessage("user", history.question)]
    room = budget - sum(count_tokens(message, vocabulary) for message in fixed)
    most = max(0, min(budget // RESULTS_SHARE, room))
    after = to_model_messages(steps, max_tokens=most, vocabulary=vocabulary) if bounds.tools else []
    results = [] if bounds.tools else to_quoted_results(steps, max_tokens=most, vocabulary=vocabulary)
    if beginning:
        after.append(ModelMessage("assistant", beginning))
    return assemble(
        history.memory,
        history.messages,
        found=history.found,
        results=results,
        after=after,
        budget=budget,
        vocabulary=vocabulary,
        today=today,
    )


def today_in(time_zone: str | None) -> Today:
    """The date in a time zone: in UTC, and said to be so, where the zone is None or not known here."""
    now = datetime.now(UTC)
    if time_zone is not None:
        try:
            return Today(now.astimezone(ZoneInfo(time_zone)).date(), time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            log.warning("time_zone_unknown")
    return Today(now.date(), "UTC")


@dataclass(slots=True)
class PromptSize:
    """Makes the prompts of one reply shorter, as long as its model refuses them as too long.

    `refusal` is the newest refusal, of a prompt of `refused_tokens`; `refusals` counts them.
    """

    models: ModelCatalog
    model: str
    refusal: PromptTooLong | None = None
    refused_tokens: int = 0
    refusals: int = 0

    def check(self, context: Context) -> None:
        """Check that it makes sense to ask with this prompt.

        Raises:
            PromptTooLong: a prompt that is no longer than this was refused, or too many were.

        """
        if self.refusal is not None and (context.tokens >= self.refused_tokens or self.refusals >= MOST_REFUSALS):
            raise self.refusal

    def learn(self, refusal: PromptTooLong, context: Context, reply: Reply) -> AnswerBounds:
        """Remember that this prompt was too long, and end the model call. Returns what holds for the next prompt.

        Raises:
            PromptTooLong: the call has brought text already.

        """
        self.refusal, self.refused_tokens, self.refusals = refusal, context.tokens, self.refusals + 1
        learn_context(refusal, self.models, self.model, context.tokens)
        if reply.meter is not None and reply.meter.chars:
            raise refusal
        reply.meter = None
        return self.models.with_fallback(self.model)
