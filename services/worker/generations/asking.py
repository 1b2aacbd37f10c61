"""How the model is asked: with less after each refusal, until it answers or nothing is left to leave out."""

from dataclasses import dataclass
from typing import Final

from services.worker.models.capabilities import AnswerBounds, ModelCatalog
from services.worker.models.port import ModelRequest
from services.worker.models.retry import OF_THE_MODEL, PASSING
from shared.errors import ModelError, ModelRejected, PromptTooLong
from shared.telemetry.metrics import AfterFailure

MAX_CONTINUATIONS: Final = 3
"""How often one attempt goes on with an answer that a model broke off."""


@dataclass(slots=True)
class WayOfAsking:
    """What one attempt still asks of the models.

    `with_tools`: the model may call tools, and reads their results as tool messages. `with_prefill`: the model is given the
    beginning of a broken-off answer to continue; else it is told to go on (seam.py). `continuations` counts the answers that a
    model broke off in this attempt.
    """

    models: ModelCatalog
    with_tools: bool
    with_prefill: bool
    continuations: int = 0

    @classmethod
    def of(cls, models: ModelCatalog, bounds: AnswerBounds) -> "WayOfAsking":
        """The way for a model of which nothing was refused yet."""
        return cls(models, with_tools=bounds.tools, with_prefill=bounds.prefill)

    def after(self, failure: ModelError, request: ModelRequest, *, has_said: bool) -> AfterFailure:
        """Decide what is done after this failure of a request, and leave out what was the trouble.

        `has_said`: something came of the answer before it failed.
        """
        if has_said:
            if not isinstance(failure, PASSING) or self.continuations >= MAX_CONTINUATIONS:
                return "failed"
            self.continuations += 1
            return "continued"
        if isinstance(failure, PromptTooLong) or not isinstance(failure, OF_THE_MODEL):
            return "failed"
        is_refused = isinstance(failure, ModelRejected)
        if request.continues_text and (is_refused or not self.models.fallback_continues):
            if is_refused and failure.model is not None:
                self.models.learned.without_prefill.add(failure.model)
            self.with_prefill = False
            return "without_prefill"
        if is_refused and self.with_tools and (request.tools or request.has_tool_messages):
            self.with_tools = False
            return "without_tools"
        return "failed"
