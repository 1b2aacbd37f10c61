"""How the model is asked: with less after each refusal, until it answers or nothing is left to leave out."""

from dataclasses import dataclass
from typing import Final

from services.worker.models.capabilities import ModelCatalog
from services.worker.models.port import ModelRequest
from services.worker.models.retry import OF_THE_MODEL
from shared.errors import ModelError, ModelRejected, ModelSaidNothing, ModelToolCallFailed, PromptTooLong
from shared.telemetry.metrics import AfterFailure

MAX_CONTINUATIONS: Final = 3
"""How often one attempt goes on with an answer that a model broke off."""
FALLBACK_AFTER: Final = 2
"""From this continuation on, the fallback is asked."""


@dataclass(slots=True)
class WayOfAsking:
    """What one attempt still asks of the models.

    `model` is asked. `with_tools`: it may call tools, and reads their results as tool messages. `with_prefill`: it is given
    the beginning of a broken-off answer to continue; else it is told to go on (seam.py). `continuations` counts the answers
    that were broken off in this attempt. `refused_prefill` is the model that may not take prefill: it does not when it
    answers without. `call_failed`: the model broke off in a tool call. `keeps_tools`: a request named its tools, so that no
    answer is made without them.
    """

    models: ModelCatalog
    model: str
    with_tools: bool
    with_prefill: bool
    continuations: int = 0
    refused_prefill: str | None = None
    call_failed: bool = False
    keeps_tools: bool = False

    @classmethod
    def of(cls, models: ModelCatalog, model: str, *, keeps_tools: bool = False) -> "WayOfAsking":
        """The way for a model of which nothing was refused yet."""
        bounds = models.with_fallback(model)
        with_tools = bounds.tools or keeps_tools
        return cls(models, model, with_tools=with_tools, with_prefill=bounds.prefill, keeps_tools=keeps_tools)

    def after(self, failure: ModelError, request: ModelRequest, *, has_said: bool) -> AfterFailure:
        """Decide what is done after this failure of a request, and leave out what was the trouble.

        `has_said`: something came of the answer before it failed.
        """
        if not isinstance(failure, OF_THE_MODEL):
            return "failed"
        if has_said:
            return self._after_words(failure)
        if isinstance(failure, PromptTooLong):
            return "failed"
        is_refusal = isinstance(failure, ModelRejected)
        is_over_tools = isinstance(failure, ModelToolCallFailed)
        if request.continues_text and not is_over_tools and (is_refusal or not self.models.fallback_continues):
            if is_refusal:
                self.refused_prefill = failure.model or request.model  # the fallback's, where it was asked last
            self.with_prefill = False
            return "without_prefill"
        # A model that calls tools though it has none to call says nothing, or is refused by its endpoint.
        may_be_tools = is_refusal or isinstance(failure, ModelSaidNothing)
        if may_be_tools and self.with_tools and not self.keeps_tools and (request.tools or request.has_tool_messages):
            self.with_tools = False
            return "without_tools"
        return "failed"

    def _after_words(self, failure: ModelError) -> AfterFailure:
        """Go on where the answer broke off: the second time with the fallback, and without tools where they were the trouble."""
        if self.continuations >= MAX_CONTINUATIONS:
            return "failed"
        self.continuations += 1
        self.call_failed = isinstance(failure, ModelToolCallFailed)
        if self.call_failed:
            self.with_tools = self.keeps_tools
        if self.models.fallback is not None and self.continuations >= FALLBACK_AFTER:
            self.model = self.models.fallback
            self.with_prefill = self.with_prefill and self.models.fallback_continues
        return "continued"

    def has_worked(self) -> None:
        """Remember what was refused, now that the model has answered without."""
        if self.refused_prefill is not None:
            self.models.learned.without_prefill.add(self.refused_prefill)
            self.refused_prefill = None
