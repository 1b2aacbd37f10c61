"""Tries and the fallback, around a model that fails as it is told."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from services.worker.models.port import ModelChunk, ModelMessage, ModelRequest, RetryNotice
from services.worker.models.retry import RetryingModel
from shared.errors import (
    ModelBadResponse,
    ModelError,
    ModelNotAvailable,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
)

HELLO = ModelRequest("large", [ModelMessage("user", "Hello")])
AT_ONCE = 0.0


@dataclass
class ScriptedModel:
    """A ChatModel that answers one word, or fails; each request takes the next line of the script."""

    script: list[ModelError | None]
    asked: list[str] = field(default_factory=list)
    speaks_before_it_fails: bool = False
    closed: int = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        self.asked.append(request.model)
        failure = self.script.pop(0)
        try:
            if failure is None or self.speaks_before_it_fails:
                yield ModelChunk("Hi")
            if failure is not None:
                raise failure
        finally:
            self.closed += 1


def busy() -> ModelRateLimited:
    """A refusal that may be over at once."""
    return ModelRateLimited(retry_after=AT_ONCE)


async def ask(model: ScriptedModel, fallback: str | None = "small") -> list[ModelChunk | RetryNotice]:
    return [chunk async for chunk in RetryingModel(model, fallback=fallback).stream(HELLO)]


async def test_an_answer_is_passed_on_as_it_is() -> None:
    model = ScriptedModel([None])
    assert await ask(model) == [ModelChunk("Hi")]
    assert model.asked == ["large"]


async def test_a_failure_that_may_soon_be_over_is_tried_three_times_and_then_the_fallback_is_asked() -> None:
    model = ScriptedModel([busy(), busy(), busy(), busy(), None])
    assert await ask(model) == [
        *(RetryNotice("large", AT_ONCE), RetryNotice("large", AT_ONCE), RetryNotice("small", 0)),
        *(RetryNotice("small", AT_ONCE), ModelChunk("Hi")),
    ]
    assert model.asked == ["large"] * 3 + ["small"] * 2


async def test_a_fallback_that_fails_too_has_no_fallback() -> None:
    model = ScriptedModel([busy() for _ in range(6)])
    with pytest.raises(ModelRateLimited) as raised:
        await ask(model)
    assert raised.value.model == "small"
    assert model.script == []


@pytest.mark.parametrize("failure", [ModelRateLimited(retry_after=21), ModelNotAvailable()])
async def test_the_fallback_is_asked_at_once_where_waiting_is_of_no_use(failure: ModelError) -> None:
    model = ScriptedModel([failure, None])
    assert await ask(model) == [RetryNotice("small", 0), ModelChunk("Hi")]


@pytest.mark.parametrize("failure", [ModelRejected(), ModelBadResponse()])
async def test_a_failure_that_would_come_again_is_not_tried_again(failure: ModelError) -> None:
    model = ScriptedModel([failure])
    with pytest.raises(type(failure)):
        await ask(model)
    assert failure.model == "large"


@pytest.mark.parametrize("fallback", [None, "large"])
async def test_without_another_model_the_failure_is_the_last_word(fallback: str | None) -> None:
    model = ScriptedModel([ModelNotAvailable()])
    with pytest.raises(ModelNotAvailable):
        await ask(model, fallback)


async def test_nothing_is_asked_again_once_text_has_come() -> None:
    model = ScriptedModel([ModelUnavailable()], speaks_before_it_fails=True)
    with pytest.raises(ModelUnavailable):
        await ask(model)
    assert model.asked == ["large"]


async def test_a_fallback_that_can_not_continue_a_text_is_not_asked_to() -> None:
    model = ScriptedModel([ModelNotAvailable()])
    rest = ModelRequest("large", [ModelMessage("user", "Hello"), ModelMessage("assistant", "Hi, ")])
    with pytest.raises(ModelNotAvailable):
        await anext(RetryingModel(model, fallback="small", fallback_continues=False).stream(rest))
    assert model.asked == ["large"]


async def test_closing_the_stream_closes_the_models_stream() -> None:
    model = ScriptedModel([None])
    stream = RetryingModel(model, fallback=None).stream(HELLO)
    await anext(stream)
    assert model.closed == 0
    await stream.aclose()
    assert model.closed == 1
