"""The manners of endpoints and models, read by the very client of the worker, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.worker.models.capabilities import ModelCatalog
from services.worker.models.groq.client import GroqModel
from services.worker.models.groq.transport import PATIENCE, Patience
from services.worker.models.port import ModelChunk, ModelMessage, ModelRequest, ToolCall, ToolDescription
from shared.errors import (
    ModelBadResponse,
    ModelError,
    ModelNotAvailable,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelToolCallFailed,
    ModelUnavailable,
    PromptTooLong,
)
from shared.token_usage import TokenUsage
from tests.doubles.groq_control import requests
from tests.support.models import ask_whole

TIME = ToolDescription("current_time", "The time.", {"type": "object", "properties": {}})
ANSWER = "t1 t2 t3 "
THOUGHT = "I should greet them."


@asynccontextmanager
async def open_model(
    groq_url: str, read_timeout: float = 30, patience: Patience = PATIENCE
) -> AsyncIterator[GroqModel]:
    """A model that answers as the message's directive says, and may be silent for so many seconds."""
    catalog = ModelCatalog(default="double", others=("thinks-first",))
    groq = GroqModel(
        catalog,
        key=SecretStr("test"),
        base_url=groq_url,
        temperature=0,
        read_timeout=read_timeout,
        patience=patience,
    )
    yield groq
    await groq.aclose()


@pytest.fixture
async def model(groq_url: str) -> AsyncIterator[GroqModel]:
    """A model that is waited for, also on a machine that is busy with other work."""
    async with open_model(groq_url) as opened:
        yield opened


async def answer_of(model: GroqModel, message: str, *, name: str = "double", is_brief: bool = False) -> ModelChunk:
    """All chunks of an answer as one."""
    text = reasoning = ""
    reason, usage, calls = None, None, tuple[ToolCall, ...]()
    request = ModelRequest(name, [ModelMessage("user", message)], () if is_brief else (TIME,), is_brief=is_brief)
    async for chunk in model.stream(request):
        assert isinstance(chunk, ModelChunk)
        text, reasoning = text + chunk.text, reasoning + chunk.reasoning
        reason, usage, calls = chunk.finish_reason or reason, chunk.usage or usage, calls + chunk.calls
    return ModelChunk(text, reasoning, reason, usage, calls)


@pytest.mark.parametrize("split", [0, 1, 7])
@pytest.mark.parametrize(
    ("manner", "text", "reasoning"),
    [
        ("think_in_text", ANSWER, THOUGHT),
        ("think_split", ANSWER, THOUGHT),
        ("think_in_the_middle", f"Well.\n{ANSWER}", THOUGHT),
        ("think_unclosed", "", "I should greet them, and on and on"),
        ("think_alone", "", THOUGHT),
        ("think_without_opening_at_once", ANSWER, THOUGHT),
        ("think_in_code", f"Use `<think>hm</think>`: {ANSWER}", ""),
        ("thinking_tag", ANSWER, THOUGHT),
        ("harmony_in_text", ANSWER, THOUGHT),
        ("reasoning_content", ANSWER, THOUGHT),
        ("reasoning_null", ANSWER, ""),
        ("reasoning_list", ANSWER, THOUGHT),
        ("reasoning_object", ANSWER, THOUGHT),
        ("reasoning_details", ANSWER, THOUGHT),
        ("reasoning_parts", ANSWER, THOUGHT),
        ("only_reasoning", "", "I should greet them. Yes."),
        ("control_token_at_the_end", ANSWER, ""),
        ("control_tokens_around", ANSWER, ""),
        ("control_tokens_in_code", f"`<|im_end|>` ends a turn. {ANSWER}", ""),
        ("said_unknown_call", "", ""),
        ("said_broken_call", "", ""),
        ("content_list", ANSWER, ""),
        ("odd_chunks", ANSWER, ""),
        ("broken_events", ANSWER, ""),
        ("message_instead_of_delta", ANSWER, ""),
        ("message_at_the_end", ANSWER, ""),
        ("plain_lines", ANSWER, ""),
        ("emoji_in_halves", "\U0001f600", ""),
        ("reason_without_done", ANSWER, ""),
        ("null_as_reason", ANSWER, ""),
        ("error_after_the_end", ANSWER, ""),
        ("plain_completion", ANSWER, ""),
    ],
)
async def test_text_is_text_and_reasoning_is_reasoning(
    model: GroqModel, manner: str, text: str, reasoning: str, split: int
) -> None:
    answer = await answer_of(model, f"[[manner={manner} tokens=3 split={split}]]")
    assert (answer.text, answer.reasoning, answer.finish_reason, answer.calls) == (text, reasoning, "stop", ())


@pytest.mark.parametrize(
    ("manner", "calls"),
    [
        *((name, 1) for name in ("said_function", "said_tool_call", "said_json", "said_harmony_call", "function_call")),
        *(
            (name, 1)
            for name in ("call_with_channel", "call_with_prefix", "call_name_repeated", "call_arguments_object")
        ),
        *((name, 2) for name in ("calls_with_one_index", "calls_without_index")),
    ],
)
async def test_a_call_is_a_call_however_it_comes(model: GroqModel, manner: str, calls: int) -> None:
    answer = await answer_of(model, f"[[manner={manner}]]")
    assert (answer.text, answer.finish_reason) == ("", "tool-calls")
    assert [(call.name, call.arguments) for call in answer.calls] == [("current_time", {})] * calls
    assert len({call.id for call in answer.calls}) == calls


@pytest.mark.parametrize(
    ("manner", "reason"),
    [("done_without_reason", "other"), ("unknown_reason", "other"), ("refusal", "content-filter")],
)
async def test_an_end_is_told_apart(model: GroqModel, manner: str, reason: str) -> None:
    answer = await answer_of(model, f"[[manner={manner} tokens=3]]")
    assert answer.finish_reason == reason
    assert answer.text == ("I can't help with that." if manner == "refusal" else ANSWER)


@pytest.mark.parametrize(
    ("manner", "usage"),
    [
        ("usage_beside_choices", TokenUsage(3, 2, 5)),
        ("usage_after_the_end", TokenUsage(3, 2, 5)),
        ("usage_negative", None),
        ("usage_far_off", None),
        ("done_without_reason", None),
    ],
)
async def test_usage_is_read_where_it_can_be_believed(model: GroqModel, manner: str, usage: TokenUsage | None) -> None:
    assert (await answer_of(model, f"[[manner={manner} tokens=3]]")).usage == usage


@pytest.mark.parametrize(
    ("manner", "kind", "endpoint"),
    [
        ("role_then_error", ModelBadResponse, (200, "model_error")),
        ("role_then_error code=service_unavailable", ModelUnavailable, (200, "service_unavailable")),
        ("role_then_tool_error", ModelToolCallFailed, (200, "tool_use_failed")),
        ("role_then_rate_limit", ModelRateLimited, (200, "rate_limit_exceeded")),
        ("role_then_reset", ModelUnavailable, (None, None)),
        ("role_then_cut", ModelUnavailable, (None, None)),
        ("role_then_end", ModelBadResponse, (None, None)),
        ("role_then_malformed", ModelBadResponse, (None, None)),
        ("error_as_reason", ModelBadResponse, (None, None)),
        ("error_as_text", ModelUnavailable, (200, None)),
        ("error_with_number", ModelUnavailable, (200, "502")),
        ("html", ModelBadResponse, (None, None)),
        ("json_error", ModelBadResponse, (200, "model_error")),
        ("json_error code=over_capacity", ModelUnavailable, (200, "over_capacity")),
        ("redirect", ModelNotAvailable, (307, None)),
        ("refused_as_text", ModelNotAvailable, (400, None)),
        ("refused_with_detail", ModelUnavailable, (503, None)),
        ("refused_with_message", PromptTooLong, (400, "400")),
        ("refused_in_list", ModelRejected, (400, "400")),
        ("too_long_for_context", PromptTooLong, (400, "context_length_exceeded")),
        ("too_long_for_minute", PromptTooLong, (413, "rate_limit_exceeded")),
        ("too_long_for_limit", PromptTooLong, (429, None)),
        ("overloaded", ModelUnavailable, (529, None)),
    ],
)
async def test_every_failure_has_its_kind_and_keeps_the_endpoints_code(
    model: GroqModel, manner: str, kind: type[ModelError], endpoint: tuple[int | None, str | None]
) -> None:
    with pytest.raises(ModelError) as raised:
        await answer_of(model, f"[[manner={manner}]]")
    assert type(raised.value) is kind
    assert (raised.value.endpoint_status, raised.value.endpoint_code) == endpoint


@pytest.mark.parametrize("manner", ["html", "redirect"])
async def test_an_address_that_is_none_of_a_model_is_named(model: GroqModel, manner: str) -> None:
    with pytest.raises(ModelError, match="GROQ_BASE_URL"):
        await answer_of(model, f"[[manner={manner}]]")


@pytest.mark.parametrize(
    ("manner", "limit"), [("too_long_for_context", 8192), ("too_long_for_minute", 6000), ("refused_with_message", 4096)]
)
async def test_a_prompt_that_is_too_long_brings_the_limit(model: GroqModel, manner: str, limit: int) -> None:
    with pytest.raises(PromptTooLong) as raised:
        await answer_of(model, f"[[manner={manner}]]")
    assert raised.value.limit == limit


async def test_a_refusal_that_comes_in_several_packets_is_read_to_its_end(model: GroqModel) -> None:
    with pytest.raises(PromptTooLong) as raised:
        await answer_of(model, "[[manner=too_long_for_context split=40]]")
    assert (raised.value.limit, raised.value.endpoint_code) == (8192, "context_length_exceeded")


@pytest.mark.parametrize(
    ("manner", "seconds"),
    [
        ("try_again_in_message", 432),
        ("try_again_at_date", 86_400),
        ("try_again_never", None),
        ("role_then_rate_limit", 0.01),
    ],
)
async def test_a_rate_limit_says_when_to_come_again(model: GroqModel, manner: str, seconds: float | None) -> None:
    with pytest.raises(ModelRateLimited) as raised:
        await answer_of(model, f"[[manner={manner}]]")
    assert raised.value.retry_after == seconds


async def test_silence_after_the_role_is_a_timeout(groq_url: str) -> None:
    async with open_model(groq_url, 0.3) as impatient:
        with pytest.raises(ModelTimeout):
            await answer_of(impatient, "[[fault=stall]]")


async def test_a_body_that_stays_open_after_the_finish_reason_is_not_waited_for(groq_url: str) -> None:
    async with open_model(groq_url, patience=Patience(end=0.05)) as model, asyncio.timeout(20):
        answer = await answer_of(model, "[[manner=stays_open tokens=3]]")
    assert (answer.text, answer.finish_reason) == (ANSWER, "stop")


async def test_pings_after_the_finish_reason_do_not_keep_an_answer_open(groq_url: str) -> None:
    async with open_model(groq_url, patience=Patience(end=0.3)) as model, asyncio.timeout(20):
        answer = await answer_of(model, "[[manner=pings_after_the_end tokens=3 rate=100]]")
    assert (answer.text, answer.finish_reason) == (ANSWER, "stop")


async def test_signs_of_life_without_a_word_are_a_timeout(groq_url: str) -> None:
    async with open_model(groq_url, read_timeout=0.5, patience=Patience(word=0.0)) as model:
        with pytest.raises(ModelTimeout):
            await answer_of(model, "[[manner=only_pings rate=50]]")


async def test_a_redirect_is_not_followed_with_the_key(model: GroqModel, groq_url: str) -> None:
    words = uuid4().hex
    with pytest.raises(ModelNotAvailable):
        await answer_of(model, f"{words} [[manner=redirect]]")
    assert len(await requests(groq_url, containing=words, arrived=1)) == 1


LONE_CLOSE = "[[manner=think_without_opening tokens=3]]"


async def test_reasoning_without_an_opening_word_is_known_from_the_third_answer_on(model: GroqModel) -> None:
    first, second, third = [await answer_of(model, f"{n} {LONE_CLOSE}", name="thinks-first") for n in range(3)]
    assert (first.text, first.reasoning) == (second.text, second.reasoning) == (f"{THOUGHT}{ANSWER}", "")
    assert (third.text, third.reasoning) == (ANSWER, THOUGHT)
    after = [await answer_of(model, "[[tokens=3]]", name="thinks-first") for _ in range(3)]
    assert [(answer.text, answer.reasoning) for answer in after] == [(ANSWER, "")] * 3


@pytest.mark.parametrize("between", [[LONE_CLOSE], ["[[tokens=3]]", f"2 {LONE_CLOSE}"]])
async def test_an_answer_that_speaks_of_the_closing_word_changes_no_other_answer(
    model: GroqModel, between: list[str]
) -> None:
    for message in (LONE_CLOSE, *between):
        await answer_of(model, message, name="thinks-first")
    request = ModelRequest("thinks-first", [ModelMessage("user", "[[tokens=3]]")])
    chunks = [chunk async for chunk in model.stream(request) if isinstance(chunk, ModelChunk) and chunk.text]
    assert [chunk.text for chunk in chunks] == ["t1 ", "t2 ", "t3 "]


@pytest.fixture
async def thinker(groq_url: str) -> AsyncIterator[GroqModel]:
    """Models whose requests carry reasoning parameters."""
    catalog = ModelCatalog(default="qwen/qwen3-32b", others=("openai/gpt-oss-20b",), reasoning_effort="high")
    groq = GroqModel(catalog, key=SecretStr("test"), base_url=groq_url, temperature=0, read_timeout=1)
    yield groq
    await groq.aclose()


REASONING_PARAMETERS = {"reasoning_effort", "reasoning_format"}


@pytest.mark.parametrize(
    "manner",
    ["no_reasoning_parameters", "no_reasoning_argument", "no_reasoning_for_model", "no_reasoning_input"],
)
@pytest.mark.parametrize(
    ("name", "carried"), [("qwen/qwen3-32b", ["reasoning_format"]), ("openai/gpt-oss-20b", ["reasoning_effort"])]
)
async def test_parameters_that_an_endpoint_refuses_are_left_out_from_then_on(
    thinker: GroqModel, groq_url: str, caplog: pytest.LogCaptureFixture, manner: str, name: str, carried: list[str]
) -> None:
    words = uuid4().hex
    for _ in range(2):
        assert (await answer_of(thinker, f"{words} [[manner={manner} tokens=3]]", name=name)).text == ANSWER
    asked = await requests(groq_url, containing=words, arrived=3)
    assert [sorted(REASONING_PARAMETERS & request["body"].keys()) for request in asked] == [carried, [], []]
    (line,) = [record.msg for record in caplog.records if "parameters_refused" in str(record.msg)]
    assert isinstance(line, Mapping)
    assert (line["model"], line["parameters"]) == (name, carried)
    other = next(one for one in ("qwen/qwen3-32b", "openai/gpt-oss-20b") if one != name)
    await answer_of(thinker, f"{words} [[tokens=1]]", name=other)
    asked = await requests(groq_url, containing=words, arrived=4)
    assert REASONING_PARAMETERS & asked[-1]["body"].keys()


@pytest.mark.parametrize(
    ("directive", "tries"),
    [
        ("fault=400", 2),
        ("fault=400 code=tool_use_failed", 1),
        ("manner=too_long_for_context", 1),
        ("manner=refused_as_text", 1),
        ("fault=404", 1),
    ],
)
async def test_a_request_that_is_refused_over_something_else_keeps_its_parameters(
    thinker: GroqModel, groq_url: str, caplog: pytest.LogCaptureFixture, directive: str, tries: int
) -> None:
    words = uuid4().hex
    with pytest.raises(ModelError):
        await answer_of(thinker, f"{words} [[{directive}]]", name="qwen/qwen3-32b")
    await answer_of(thinker, f"{words} [[tokens=1]]", name="qwen/qwen3-32b")
    asked = await requests(groq_url, containing=words, arrived=tries + 1)
    assert len(asked) == tries + 1
    assert "reasoning_format" in asked[-1]["body"]
    assert "parameters_refused" not in caplog.text


async def test_events_that_were_skipped_leave_one_line(model: GroqModel, caplog: pytest.LogCaptureFixture) -> None:
    await answer_of(model, "[[manner=broken_events tokens=3]]")
    (line,) = [record.msg for record in caplog.records if "model_events_skipped" in str(record.msg)]
    assert isinstance(line, Mapping)
    assert (line["model"], line["events"]) == ("double", 3)


@pytest.mark.parametrize(
    "manner",
    [
        *("think_in_text", "think_split", "think_without_opening", "think_without_opening_at_once", "thinking_tag"),
        *("harmony_in_text", "reasoning_content", "reasoning_parts", "control_tokens_around", "content_list"),
        *("odd_chunks", "broken_events", "message_instead_of_delta", "plain_lines", "plain_completion"),
    ],
)
@pytest.mark.parametrize(
    ("purpose", "instruction"),
    [("title", "Give the conversation a title of two words."), ("summary", "You keep the memory of a conversation.")],
)
async def test_titles_and_summaries_are_text_only(
    model: GroqModel, manner: str, purpose: str, instruction: str
) -> None:
    message = f'The message: "Hello [[{purpose}: manner={manner} tokens=3]]" That was it.'
    conversation = [ModelMessage("system", instruction), ModelMessage("user", message)]
    answer = await ask_whole(model, ModelRequest("double", conversation, is_brief=True))
    assert (answer.text, answer.finish_reason) == (ANSWER, "stop")
