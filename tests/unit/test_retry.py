"""Tries and the fallback, around a model that fails as it is told."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.worker.models.port import ModelChunk, ModelMessage, ModelRequest, RetryNotice, ToolCall, ToolDescription
from services.worker.models.retry import RetryingModel
from shared.errors import (
    ModelAuthFailed,
    ModelBadResponse,
    ModelError,
    ModelNotAvailable,
    ModelRateLimited,
    ModelRejected,
    ModelSaidNothing,
    ModelTimeout,
    ModelToolCallFailed,
    ModelUnavailable,
    PromptTooLong,
)

HELLO = ModelRequest("large", [ModelMessage("user", "Hello")])
AT_ONCE = 0.0


@dataclass
class ScriptedModel:
    """A ChatModel that answers one word, these chunks, or fails; each request takes the next line of the script."""

    script: Sequence[ModelError | Sequence[ModelChunk | ModelError] | None]
    asked: list[str] = field(default_factory=list)
    speaks_before_it_fails: bool = False
    closed: int = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        self.asked.append(request.model)
        line, *self.script = self.script
        try:
            if line is None or self.speaks_before_it_fails:
                yield ModelChunk("Hi")
            for said in [line] if isinstance(line, ModelError) else line or ():
                if isinstance(said, ModelError):
                    raise said
                yield said
        finally:
            self.closed += 1


def busy() -> ModelRateLimited:
    """A refusal that may be over at once."""
    return ModelRateLimited(retry_after=AT_ONCE)


async def ask(model: ScriptedModel, fallback: str | None = "small") -> list[ModelChunk | RetryNotice]:
    return [chunk async for chunk in RetryingModel(model, fallback=fallback, delays=(AT_ONCE, AT_ONCE)).stream(HELLO)]


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


@pytest.mark.parametrize("failure", [ModelAuthFailed(), PromptTooLong()])
async def test_a_failure_that_every_model_would_have_is_not_tried_again(failure: ModelError) -> None:
    model = ScriptedModel([failure])
    with pytest.raises(type(failure)):
        await ask(model)
    assert failure.model == "large"


@pytest.mark.parametrize("failure", [ModelRejected(), ModelNotAvailable()])
async def test_what_a_model_refuses_goes_to_the_fallback_at_once(failure: ModelError) -> None:
    model = ScriptedModel([failure, None])
    assert await ask(model) == [RetryNotice("small", 0), ModelChunk("Hi")]


@pytest.mark.parametrize("failure", [ModelBadResponse(), ModelTimeout(), ModelToolCallFailed(), ModelUnavailable()])
async def test_what_may_be_an_accident_is_asked_again(failure: ModelError) -> None:
    model = ScriptedModel([failure, failure, None])
    assert (await ask(model, fallback=None))[-1] == ModelChunk("Hi")
    assert model.asked == ["large"] * 3


async def test_a_silent_model_is_replaced_without_a_second_wait() -> None:
    model = ScriptedModel([ModelTimeout(), None])
    assert await ask(model) == [RetryNotice("small", 0), ModelChunk("Hi")]


NOTHING: list[list[ModelChunk]] = [
    [ModelChunk(finish_reason="stop")],
    [ModelChunk(" "), ModelChunk("\u200b\n", finish_reason="stop")],
    [ModelChunk(reasoning="Hm."), ModelChunk(finish_reason="length")],
    [ModelChunk(calls=(ToolCall("1", "web_search", {}),), finish_reason="tool-calls")],
]


@pytest.mark.parametrize("nothing", NOTHING, ids=["stop", "blank", "thoughts", "a tool that was not offered"])
async def test_an_answer_that_says_nothing_is_asked_for_once_more_and_then_the_fallback_is_asked(
    nothing: list[ModelChunk],
) -> None:
    model = ScriptedModel([nothing, nothing, nothing, None])
    said = [chunk for chunk in await ask(model) if isinstance(chunk, RetryNotice) or chunk.text]
    notices = [RetryNotice(model, 0, took_tokens=True) for model in ("large", "small", "small")]
    assert said == [*notices, ModelChunk("Hi")]
    with pytest.raises(ModelSaidNothing):
        await ask(ScriptedModel([nothing] * 4))


async def test_an_answer_may_begin_with_spaces_or_be_a_tool_call() -> None:
    spaced = [ModelChunk("\n"), ModelChunk(" So")]
    assert [chunk async for chunk in RetryingModel(ScriptedModel([spaced]), fallback=None).stream(HELLO)] == [
        ModelChunk(""),
        ModelChunk("\n So"),
    ]
    called = [ModelChunk(calls=(ToolCall("1", "web_search", {}),))]
    with_tool = replace(HELLO, tools=[ToolDescription("web_search", "", {})])
    assert [chunk async for chunk in RetryingModel(ScriptedModel([called]), fallback=None).stream(with_tool)] == called


async def test_the_rest_of_an_answer_may_be_nothing() -> None:
    nothing = [ModelChunk(finish_reason="stop")]
    request = replace(HELLO, may_be_empty=True)
    assert [chunk async for chunk in RetryingModel(ScriptedModel([nothing]), fallback=None).stream(request)] == nothing


async def test_thoughts_are_no_text() -> None:
    model = ScriptedModel([[ModelChunk(reasoning="Hm."), ModelUnavailable()], None])
    assert await ask(model) == [ModelChunk(reasoning="Hm."), RetryNotice("large", 0), ModelChunk("Hi")]


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
        await anext(RetryingModel(model, fallback="small", fallback_continues=lambda: False).stream(rest))
    assert model.asked == ["large"]


async def test_closing_the_stream_closes_the_models_stream() -> None:
    model = ScriptedModel([None])
    stream = RetryingModel(model, fallback=None).stream(HELLO)
    await anext(stream)
    assert model.closed == 0
    await stream.aclose()
    assert model.closed == 1
