"""What every ChatModel does, asked of the providers and of the wrapper around them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.worker.models.capabilities import ModelCatalog
from services.worker.models.groq.client import GroqModel
from services.worker.models.port import ChatModel, ModelChunk, ModelMessage, ModelRequest, ToolDescription
from services.worker.models.retry import RetryingModel
from shared.errors import ModelAuthFailed, ModelBadResponse, ModelNotAvailable, ModelRejected
from tests.doubles import groq_control

TIME = ToolDescription("current_time", "The time.", {"type": "object", "properties": {}})


@pytest.fixture(params=["groq", "groq with retries"])
async def model(request: pytest.FixtureRequest, groq_url: str) -> AsyncIterator[ChatModel]:
    """A model that answers as the message's directive says."""
    catalog = ModelCatalog(default="double")
    groq = GroqModel(catalog, key=SecretStr("test"), base_url=groq_url, temperature=0, read_timeout=5)
    yield groq if request.param == "groq" else RetryingModel(groq, fallback=None)
    await groq.aclose()


def asking(text: str, *tools: ToolDescription) -> ModelRequest:
    """A request of one message."""
    return ModelRequest("double", [ModelMessage("user", text)], tools)


async def chunks_of(model: ChatModel, request: ModelRequest) -> list[ModelChunk]:
    """All chunks of an answer that needs no further try."""
    chunks: list[ModelChunk] = []
    async for chunk in model.stream(request):
        assert isinstance(chunk, ModelChunk)
        chunks.append(chunk)
    return chunks


async def test_an_answer_comes_in_order_with_its_reasoning_apart_and_its_usage_at_the_end(model: ChatModel) -> None:
    chunks = await chunks_of(model, asking("[[tokens=3 reasoning=2]]"))
    assert "".join(chunk.text for chunk in chunks) == "t1 t2 t3 "
    assert "".join(chunk.reasoning for chunk in chunks) == "r1 r2 "
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_tool_calls_come_whole_and_last(model: ChatModel) -> None:
    *_, last = await chunks_of(model, asking("[[tokens=2 tool=current_time after=1]]", TIME))
    (call,) = last.calls
    assert call.name == "current_time"
    assert call.id
    assert isinstance(call.arguments, dict)


@pytest.mark.parametrize(
    ("directive", "kind"),
    [
        ("fault=401", ModelAuthFailed),
        ("fault=400", ModelRejected),
        ("fault=404", ModelNotAvailable),
        ("tokens=9 fault=cut after=4", ModelBadResponse),
        ("tokens=9 fault=truncate after=4", ModelBadResponse),
    ],
)
async def test_every_failure_has_its_kind(model: ChatModel, directive: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await chunks_of(model, asking(f"[[{directive}]]"))


async def test_streams_that_run_at_the_same_time_do_not_mix(model: ChatModel) -> None:
    answers = await asyncio.gather(*(chunks_of(model, asking(f"[[tokens={n}]]")) for n in range(1, 9)))
    assert [sum(bool(chunk.text) for chunk in chunks) for chunks in answers] == list(range(1, 9))


async def test_closing_a_stream_ends_its_request(model: ChatModel, groq_url: str) -> None:
    words = uuid4().hex
    stream = model.stream(asking(f"{words} [[tokens=20 after=2 hold={words}]]"))
    assert isinstance(await anext(stream), ModelChunk)
    await stream.aclose()
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert asked["outcome"] == "abandoned"
