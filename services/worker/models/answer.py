"""A whole answer at once, for what nobody reads while it is written: summaries, titles and suggestions."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.worker.models.port import ChatModel, ModelRequest, RetryNotice
from services.worker.models.usage_meter import UsageMeter
from shared.errors import ModelTimeout
from shared.protocol.frames import FinishReason


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the model that gave it."""

    text: str
    model: str
    finish_reason: FinishReason


async def whole_answer(
    model: ChatModel, request: ModelRequest, meter: UsageMeter, *, within: float | None = None
) -> Answer:
    """Ask, and wait at most `within` seconds for all of the answer. It may be empty.

    The `meter` counts what comes, also of an answer that fails, and each try by itself.

    Raises:
        ModelError: one of its kinds.

    """
    texts = list[str]()
    reason: FinishReason = "stop"
    try:
        async with (
            asyncio.timeout(within),
            aclosing(model.stream(replace(request, may_be_empty=True))) as chunks,
        ):
            async for chunk in chunks:
                if isinstance(chunk, RetryNotice):
                    meter.begin_next_try(chunk)
                    continue
                meter.count(chunk)
                texts.append(chunk.text)
                reason = chunk.finish_reason or reason
    except TimeoutError as error:
        failure = ModelTimeout()
        failure.model = meter.model
        raise failure from error
    return Answer("".join(texts), meter.model, reason)
