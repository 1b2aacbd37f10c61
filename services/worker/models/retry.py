"""Tries and the fallback model, around any provider. docs/models.md says what becomes of each failure."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from services.worker.models.port import ChatModel, ModelChunk, ModelRequest, RetryNotice
from shared import errors
from shared.errors import ModelError
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics, NullMetrics
from shared.visible_text import is_blank

log = get_logger(__name__)

RETRY_DELAYS: Final = (0.25, 1.0)
"""Seconds before the second and the third try, where the model does not name a time itself."""
MAX_RETRY_WAIT: Final = 20.0
"""Seconds that all tries of one model together may wait."""
RETRY_WITHIN: Final = 75.0
"""Seconds after the first try within which the last try of a model begins."""
PASSING: Final = (
    errors.ModelRateLimited,
    errors.ModelUnavailable,
    errors.ModelTimeout,
    errors.ModelBadResponse,
    errors.ModelSaidNothing,
    errors.ModelToolCallFailed,
)
"""Failures that may be over when the same model is asked again."""
OF_THE_MODEL: Final = (*PASSING, errors.ModelNotAvailable, errors.ModelRejected)
"""Failures that another model may not have."""


class RetryingModel:
    """Asks a model up to three times, and then its fallback up to three times.

    Nothing is asked again once something was said. An answer that says nothing is a failure too, which is asked again once.
    `fallback` is a model of the same provider; None for no fallback. A fallback that does not continue texts, as
    `fallback_continues` tells, is not asked to: the request fails, and may be made in another way. `delays` are the seconds
    before the second and the third try, where the model does not name a time itself.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        fallback: str | None,
        fallback_continues: Callable[[], bool] = lambda: True,
        metrics: Metrics | None = None,
        delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        self._model = model
        self._fallback = fallback
        self._fallback_continues = fallback_continues
        self._metrics = metrics or NullMetrics()
        self._delays = delays

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """The answer, chunk by chunk, with a notice before each further try. Closing the generator ends the request.

        Reasoning may come before a notice; text does not.

        Raises:
            ModelError: one of its kinds, with the name of the model that failed last.

        """
        fallback = None if self._fallback == request.model else self._fallback
        if request.continues_text and not self._fallback_continues():
            fallback = None
        tries = _Tries(list(self._delays))
        while True:
            received = _Received(request)
            try:
                async with aclosing(self._model.stream(request)) as chunks:
                    async for chunk in chunks:
                        yield received.take(chunk)
                if not received.is_answer:
                    raise errors.ModelSaidNothing
            except ModelError as failure:
                failure.model = request.model
                took_tokens = isinstance(failure, errors.ModelSaidNothing)
                if received.text_came:
                    raise
                wait = tries.wait_before_next(failure, has_fallback=fallback is not None)
                if wait is not None:
                    log.warning("model_retry", wait=wait, **failure.log_fields)
                    self._metrics.model_failed(request.model, failure.code, "asked_again")
                elif fallback is not None and _is_of_the_model(failure):
                    log.warning("model_fallback", fallback=fallback, **failure.log_fields)
                    self._metrics.model_failed(request.model, failure.code, "fallback")
                    request, fallback = replace(request, model=fallback), None
                    tries, wait = _Tries(list(self._delays)), 0
                else:
                    raise
            else:
                return
            yield RetryNotice(request.model, wait, took_tokens)
            await asyncio.sleep(wait)


@dataclass(slots=True)
class _Received:
    """What has come of one answer. Blank text waits until more than that comes, since it may be all."""

    request: ModelRequest
    text_came: bool = False
    has_calls: bool = False
    pending: str = ""

    @property
    def is_answer(self) -> bool:
        """Whether the model said something, or called a tool that it may call."""
        return self.text_came or self.has_calls or self.request.may_be_empty

    def take(self, chunk: ModelChunk | RetryNotice) -> ModelChunk | RetryNotice:
        """The chunk, as it goes to the reader."""
        if self.text_came or isinstance(chunk, RetryNotice):
            return chunk
        self.has_calls = self.has_calls or bool(chunk.calls and self.request.tools)
        if not chunk.text:
            return chunk
        self.pending += chunk.text
        if is_blank(self.pending) and not self.request.may_be_empty:
            return replace(chunk, text="")
        self.text_came = True
        return replace(chunk, text=self.pending)


@dataclass(slots=True)
class _Tries:
    """The tries of one model. `delays` are those before the tries that are left, `began_at` is a time of the event loop."""

    delays: list[float]
    began_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    waited: float = 0.0

    def wait_before_next(self, failure: ModelError, *, has_fallback: bool) -> float | None:
        """Seconds until the same model is asked again; None when another try is not worth it. Uses up a delay."""
        if not self.delays or not isinstance(failure, PASSING):
            return None
        if isinstance(failure, errors.ModelTimeout) and has_fallback:
            return None  # a model that is silent may be so for long
        if isinstance(failure, errors.ModelSaidNothing):
            self.delays = self.delays[-1:]  # the same prompt may well have the same end
        wait = self.delays.pop(0)
        if isinstance(failure, errors.ModelSaidNothing):
            wait = 0.0
        if isinstance(failure, errors.ModelRateLimited) and failure.retry_after is not None:
            wait = failure.retry_after
        self.waited += wait
        is_late = asyncio.get_running_loop().time() + wait - self.began_at > RETRY_WITHIN
        return None if self.waited > MAX_RETRY_WAIT or is_late else wait


def _is_of_the_model(failure: ModelError) -> bool:
    """Whether another model may not have this failure. A prompt that is too long is made shorter first."""
    return isinstance(failure, OF_THE_MODEL) and not isinstance(failure, errors.PromptTooLong)
