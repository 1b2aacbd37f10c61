"""Models for tests: what a model says at once, and a model that fails."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from services.worker.models.answer import Answer, whole_answer
from services.worker.models.capabilities import AnswerBounds
from services.worker.models.port import ChatModel, ModelChunk, ModelRequest, RetryNotice
from services.worker.models.tokens import SMALL
from services.worker.models.usage_meter import UsageMeter
from shared.errors import ModelBadResponse


def bounds(context_tokens: int, *, tools: bool = False) -> AnswerBounds:
    """A model with a context of this size, of which 300 tokens are for the answer."""
    return AnswerBounds(
        tools=tools,
        prefill=True,
        suggests=False,
        short_prompt=False,
        context_tokens=context_tokens,
        max_output_tokens=300,
        vocabulary=SMALL,
    )


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


@dataclass(frozen=True)
class OnlyThinking:
    """A ChatModel whose model of this name thinks, and breaks off before it says a word. Any other says the words at once."""

    name: str
    said: str

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        """A thought and a failure, or the words."""
        if request.model == self.name:
            yield ModelChunk(reasoning="Hm, hm, hm.")
            raise ModelBadResponse
        yield ModelChunk(self.said, finish_reason="stop")


@dataclass(frozen=True)
class FallingSilent:
    """A ChatModel that says the words and nothing more. `is_silent` is set from then on."""

    said: str
    is_silent: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:  # noqa: ARG002
        """The words."""
        yield ModelChunk(self.said)
        self.is_silent.set()
        await asyncio.Event().wait()
