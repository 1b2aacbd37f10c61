"""Tries and the fallback model, around any provider."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from services.worker.models.port import ChatModel, ModelChunk, ModelRequest, RetryNotice
from shared.errors import ModelError, ModelNotAvailable, ModelRateLimited, ModelUnavailable
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

RETRY_DELAYS: Final = (0.25, 1.0)
"""Seconds before the second and the third try, where the model does not name a time itself."""
MAX_RETRY_WAIT: Final = 20.0
"""Seconds that all tries of one model together may wait."""


class RetryingModel:
    """Asks a model up to three times, and then its fallback up to three times.

    Nothing is asked again once text has come. Only failures that may soon be over are tried again. A model that is gone
    is replaced by the fallback at once. `fallback` is a model of the same provider; None for no fallback. A fallback that
    does not continue texts (`fallback_continues`) is not asked to: the request fails, and may be made from the beginning.
    """

    def __init__(self, model: ChatModel, *, fallback: str | None, fallback_continues: bool = True) -> None:
        self._model = model
        self._fallback = fallback
        self._fallback_continues = fallback_continues

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """The answer, chunk by chunk, with a notice before each further try. Closing the generator ends the request.

        Raises:
            ModelError: one of its kinds, with the name of the model that failed last.

        """
        fallback = None if self._fallback == request.model else self._fallback
        if request.continues_text and not self._fallback_continues:
            fallback = None
        delays, waited = list(RETRY_DELAYS), 0.0
        while True:
            has_begun = False
            try:
                async with aclosing(self._model.stream(request)) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
            except ModelError as failure:
                failure.model = request.model
                if has_begun:
                    raise
                wait = _wait_before_retry(failure, delays)
                if wait is not None and waited + wait <= MAX_RETRY_WAIT:
                    log.warning("model_retry", wait=wait, **failure.log_fields)
                    waited += wait
                elif fallback is not None and (_is_passing(failure) or isinstance(failure, ModelNotAvailable)):
                    log.warning("model_fallback", fallback=fallback, **failure.log_fields)
                    request, fallback = replace(request, model=fallback), None
                    delays, waited, wait = list(RETRY_DELAYS), 0.0, 0
                else:
                    raise
            else:
                return
            yield RetryNotice(request.model, wait)
            await asyncio.sleep(wait)


def _wait_before_retry(failure: ModelError, delays: list[float]) -> float | None:
    """Seconds until the same model is asked again; None when another try is not worth it. Uses up the next delay."""
    if not delays or not _is_passing(failure):
        return None
    delay = delays.pop(0)
    if isinstance(failure, ModelRateLimited) and failure.retry_after is not None:
        return failure.retry_after
    return delay


def _is_passing(failure: ModelError) -> bool:
    """Whether the failure may soon be over."""
    return isinstance(failure, ModelRateLimited | ModelUnavailable)
