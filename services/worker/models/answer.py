"""A whole answer at once, for what nobody reads while it is written: summaries and titles."""

from dataclasses import dataclass, replace

from services.worker.models.port import ChatModel, ModelRequest, RetryNotice
from shared.protocol.frames import FinishReason
from shared.token_usage import TokenUsage


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the model that gave it. `usage` is None when the model did not say what the call took."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: TokenUsage | None


async def whole_answer(model: ChatModel, request: ModelRequest) -> Answer:
    """Ask, and wait for all of the answer. It may be empty.

    Raises:
        ModelError: one of its kinds.

    """
    name, texts = request.model, list[str]()
    reason: FinishReason = "stop"
    usage = None
    async for chunk in model.stream(replace(request, may_be_empty=True)):
        if isinstance(chunk, RetryNotice):
            name = chunk.model
            continue
        texts.append(chunk.text)
        reason, usage = chunk.finish_reason or reason, chunk.usage or usage
    return Answer("".join(texts), name, reason, usage)
