"""The prompt's size: what an answer is told within its model's bounds, and what is learned when that was too much."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.worker import prompts
from services.worker.generations.context import Context, assemble
from services.worker.generations.given_context import given_context
from services.worker.generations.history import ChatHistory
from services.worker.generations.seam import anchor_of
from services.worker.generations.steps import Step, to_model_messages, to_quoted_results
from services.worker.models.capabilities import AnswerBounds, ModelCatalog, learn_context
from services.worker.models.port import NO_PARAMETERS, ModelMessage, ToolDescription
from services.worker.models.tokens import count_text, count_tokens
from services.worker.prompts import Today
from shared.errors import PromptTooLong
from shared.generations.parameters import Parameters
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RESULTS_SHARE: Final = 2
"""The number of equal parts of the prompt of which tool results get one at most."""
INSTRUCTIONS_SHARE: Final = 2
"""The number of equal parts of the prompt of which the request's instructions get one at most."""
MOST_REFUSALS: Final = 5
"""How many prompts of one reply may be refused as too long, the first one too. Each one after the first is smaller."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What all prompts of one reply have in common: the date, how many facts are told, the tools, and what the request asks."""

    today: Today
    max_facts: int
    tools: Sequence[ToolDescription] = ()
    parameters: Parameters = NO_PARAMETERS

    def build(
        self,
        history: ChatHistory,
        steps: Sequence[Step],
        bounds: AnswerBounds,
        *,
        with_tools: bool,
        said: str = "",
        by_prefill: bool = False,
    ) -> Context:
        """The prompt: the chat, the steps so far, and what was said of the answer, which the model is to continue.

        Its size has the tools on offer, which the model reads too.

        Raises:
            PromptTooLong: the request's instructions are more than their share.

        """
        vocabulary, today = bounds.vocabulary, self.today
        self._check_instructions(bounds)
        offered = self.tools if with_tools else ()
        tools_size = sum(int(count_text(repr(tool), vocabulary)) for tool in offered)
        if self.parameters.is_whole_context:
            after = to_model_messages(steps, max_tokens=bounds.prompt_tokens // RESULTS_SHARE, vocabulary=vocabulary)
            context = given_context(self.parameters, [*after, *_to_continue(said, by_prefill=by_prefill)], vocabulary)
            return replace(context, tokens=context.tokens + tools_size)
        budget = bounds.prompt_tokens - tools_size
        fixed = [
            ModelMessage("system", prompts.system(today, self.parameters.instructions, is_short=bounds.short_prompt)),
            ModelMessage("user", history.question),
        ]
        room = budget - sum(count_tokens(message, vocabulary) for message in fixed)
        most = max(0, min(budget // RESULTS_SHARE, room))
        after = to_model_messages(steps, max_tokens=most, vocabulary=vocabulary) if with_tools else []
        after += _to_continue(said, by_prefill=by_prefill)
        context = assemble(
            history.memory,
            history.messages,
            looked_up=history.looked_up,
            pages=history.pages,
            results=[] if with_tools else to_quoted_results(steps, max_tokens=most, vocabulary=vocabulary),
            after=after,
            budget=budget,
            max_facts=self.max_facts,
            vocabulary=vocabulary,
            today=today,
            is_short=bounds.short_prompt,
            instructions=self.parameters.instructions,
        )
        return replace(context, tokens=context.tokens + tools_size)

    def _check_instructions(self, bounds: AnswerBounds) -> None:
        instructions = self.parameters.instructions
        if instructions and count_text(instructions, bounds.vocabulary) > bounds.prompt_tokens // INSTRUCTIONS_SHARE:
            raise PromptTooLong("The instructions are too long: they may take half of what the language model is told.")


def _to_continue(said: str, *, by_prefill: bool) -> list[ModelMessage]:
    """The messages with which a model goes on with what was said; none where nothing was."""
    if not said:
        return []
    begun = ModelMessage("assistant", said)
    return [begun] if by_prefill else [begun, ModelMessage("user", prompts.go_on(anchor_of(said)))]


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

    `refusals` counts the prompts that were refused. `is_fixed`: the request brings its context along, which is not made shorter
    and says nothing about other prompts.
    """

    models: ModelCatalog
    refusals: int = 0
    is_fixed: bool = False

    def learn(self, refusal: PromptTooLong, model: str, context: Context) -> bool:
        """Remember that this prompt was too long for the model. Returns whether a shorter one may be tried."""
        if self.is_fixed:
            return False
        self.refusals += 1
        return learn_context(refusal, self.models, model, context.tokens) and self.refusals < MOST_REFUSALS
