"""Models for tests: what a model says at once, and a model that fails."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.worker.models.answer import Answer, whole_answer
from services.worker.models.port import ChatModel, ModelChunk, ModelRequest, RetryNotice
from services.worker.models.usage_meter import UsageMeter
from shared.errors import ModelBadResponse


async def ask_whole(model: ChatModel, request: ModelRequest) -> Answer:
    """The whole answer; nobody counts what it took."""
    return await whole_answer(model, request, UsageMeter.of(request))


@dataclass(frozen=True)
class BreakingOff:
    """A ChatModel that breaks off every answer after these words."""

    said: str

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:  # noqa: ARG002
        """The words, then a failure."""
        if self.said:
            yield ModelChunk(self.said)
        raise ModelBadResponse
