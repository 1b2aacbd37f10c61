"""A whole answer at once, for what nobody reads while it is written: summaries and titles."""

from dataclasses import dataclass, replace
from math import ceil

from services.worker.models.port import ChatModel, ModelRequest, RetryNotice
from services.worker.models.tokens import count_text, count_tokens, vocabulary_of
from shared.protocol.frames import FinishReason
from shared.token_usage import TokenUsage, estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the model that gave it. `is_estimate`: the model did not say what the call took."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: TokenUsage
    is_estimate: bool


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
    text = "".join(texts)
    return Answer(text, name, reason, usage or _estimated(name, request, text), is_estimate=usage is None)


def _estimated(model: str, request: ModelRequest, text: str) -> TokenUsage:
    """Roughly what the call took."""
    vocabulary = vocabulary_of(model)
    prompt = sum(count_tokens(message, vocabulary) for message in request.conversation)
    return estimate(prompt, ceil(count_text(text, vocabulary)))
