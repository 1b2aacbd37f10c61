"""The Groq double, seen through the very client that the worker uses; and what that client raises for each fault."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import groq
import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_groq import ChatGroq
from pydantic import SecretStr

from tests.doubles.groq.text import SPECIALS
from tests.doubles.groq_control import call, release, requests, reset, script
from tests.doubles.process import start_groq_double

READ_TIMEOUT = 0.5
SEARCH_TOOL = {
    "type": "function",
    "function": {"name": "web_search", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def started_groq_url() -> Iterator[str]:
    with start_groq_double() as url:
        yield url


@pytest.fixture
async def groq_url(started_groq_url: str) -> str:
    await reset(started_groq_url)
    return started_groq_url


@pytest.fixture(scope="module")
async def built_model(started_groq_url: str) -> AsyncIterator[ChatGroq]:
    # A client that is closed at the end: ChatGroq has no close, and an open connection is a warning.
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=READ_TIMEOUT)) as client:
        yield ChatGroq(
            model_name="double",
            base_url=started_groq_url,
            api_key=SecretStr("x"),
            timeout=httpx.Timeout(5, read=READ_TIMEOUT),
            max_retries=0,
            http_async_client=client,
        )


@pytest.fixture
def model(built_model: ChatGroq, groq_url: str) -> ChatGroq:
    return built_model


async def chunks(model: ChatGroq, *messages: BaseMessage, **options: Any) -> list[AIMessageChunk]:  # noqa: ANN401
    """Stream an answer with `_astream`, as the worker does."""
    generated = model._astream(list(messages), **options)
    return [cast("AIMessageChunk", generation.message) async for generation in generated]


async def said_before(
    raised: type[Exception], tokens: AsyncIterator[ChatGenerationChunk | AIMessageChunk]
) -> tuple[str, Exception]:
    """Read an answer until it raises exactly this; returns the text before, and the error."""
    said = ""

    async def read() -> None:
        nonlocal said
        async for token in tokens:
            said += token.text

    with pytest.raises(raised) as caught:
        await read()
    assert type(caught.value) is raised
    return said, caught.value


async def text(model: ChatGroq, *messages: BaseMessage, **options: Any) -> str:  # noqa: ANN401
    return "".join(str(chunk.content) for chunk in await chunks(model, *messages, **options))


def merged(pieces: list[AIMessageChunk]) -> AIMessageChunk:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return whole


def ask(directive: str) -> HumanMessage:
    return HumanMessage(f"[[{directive}]] please")


def numbered(count: int) -> str:
    return "".join(f"t{number} " for number in range(1, count + 1))


async def test_an_answer_without_directives_is_a_few_numbered_tokens(model: ChatGroq) -> None:
    assert await text(model, HumanMessage("Hello")) == numbered(8)


async def test_an_answer_has_as_many_tokens_as_asked_for(model: ChatGroq) -> None:
    assert await text(model, ask("tokens=3000")) == numbered(3000)


async def test_an_answer_that_is_not_streamed_is_the_same(model: ChatGroq) -> None:
    answer = await model.ainvoke([ask("tokens=30")])
    assert answer.content == numbered(30)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 30


async def test_a_stream_begins_with_the_role_and_ends_with_the_reason_and_the_usage(groq_url: str) -> None:
    body = {"model": "some/model", "stream": True, "messages": [{"role": "user", "content": "[[tokens=2]]"}]}
    async with httpx.AsyncClient(base_url=groq_url, headers={"authorization": "Bearer x"}) as client:
        answer = await client.post("/openai/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    *events, done, nothing = answer.text.split("\n\n")
    first, second, third, last = (json.loads(event.removeprefix("data: ")) for event in events)
    assert (done, nothing) == ("data: [DONE]", "")
    assert first["object"] == "chat.completion.chunk"
    assert first["model"] == "some/model"
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert second["choices"][0]["delta"] == {"content": "t1 "}
    assert third["choices"][0]["delta"] == {"content": "t2 "}
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert last["x_groq"]["id"] == first["x_groq"]["id"]
    usage = last["x_groq"]["usage"]
    assert usage["completion_tokens"] == 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + 2
    assert {"queue_time", "prompt_time", "completion_time", "total_time"} <= usage.keys()
    assert len({event["id"] for event in (first, second, third, last)}) == 1


async def test_the_sdk_reads_the_usage_and_the_reason_of_a_stream(model: ChatGroq) -> None:
    whole = merged(await chunks(model, ask("tokens=5")))
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 5
    assert whole.usage_metadata["input_tokens"] > 0


async def test_tokens_come_at_the_rate_and_after_the_delay_asked_for(model: ChatGroq) -> None:
    """By the double's own clock: a busy machine makes tokens late, and the ones after those make up for it."""
    asked_at = time.time_ns()
    sent = stamps(await text(model, ask("tokens=11 rate=50 delay=0.2 stamp=1")))
    after = [(at - asked_at) / 1e9 for at in sent]
    assert len(after) == 11
    assert all(seconds > 0.19 + number / 50 for number, seconds in enumerate(after))
    assert after[-1] < 4


async def test_a_stamped_token_tells_when_it_was_sent(model: ChatGroq) -> None:
    started = time.time_ns()
    said = await text(model, ask("tokens=20 stamp=1"))
    assert [word.partition("@")[0] for word in said.split()] == numbered(20).split()
    sent = stamps(said)
    assert sent == sorted(sent)
    assert started <= sent[0] <= sent[-1] <= time.time_ns()


def stamps(said: str) -> list[int]:
    """When each token was sent, in nanoseconds."""
    return [int(word.partition("@")[2], 36) for word in said.split()]


async def test_reasoning_comes_first_and_apart_from_the_text(model: ChatGroq) -> None:
    whole = merged(await chunks(model, ask("tokens=2 reasoning=3")))
    assert whole.additional_kwargs["reasoning_content"] == "r1 r2 r3 "
    assert whole.content == numbered(2)


@pytest.mark.parametrize("split", [0, 1, 7])
async def test_text_that_looks_like_a_stream_arrives_unchanged_however_it_is_split(model: ChatGroq, split: int) -> None:
    assert await text(model, ask(f"text=specials split={split}")) == "".join(SPECIALS)


@pytest.mark.parametrize("said", ["", "t1 ", "t1 t2 t3 ", "t1 t2 t3", "t1 t", "t", numbered(57), numbered(57) + "t5"])
async def test_an_answer_goes_on_from_an_assistant_prefill(model: ChatGroq, said: str) -> None:
    rest = await text(model, ask("tokens=60"), AIMessage(said)) if said else await text(model, ask("tokens=60"))
    assert said + rest == numbered(60)


async def test_a_prefill_that_is_already_the_whole_answer_gets_only_the_end(model: ChatGroq) -> None:
    assert await text(model, ask("tokens=5"), AIMessage(numbered(5))) == ""
    assert await text(model, ask("tokens=5"), AIMessage(numbered(5).strip())) == " "


@pytest.mark.parametrize("cut", range(1, 17))
async def test_a_stamped_answer_goes_on_wherever_it_was_cut(model: ChatGroq, cut: int) -> None:
    before = await text(model, ask("tokens=3 stamp=1"))
    said = before[:-cut]
    words = (said + await text(model, ask("tokens=6 stamp=1"), AIMessage(said))).split()
    assert [word.partition("@")[0] for word in words] == numbered(6).split()
    assert {len(word.partition("@")[2]) for word in words} == {12}


@pytest.mark.parametrize("at", [1, 20, 60, 100])
async def test_special_text_goes_on_from_a_prefill(model: ChatGroq, at: int) -> None:
    whole = "".join(SPECIALS)
    assert whole[:at] + await text(model, ask("text=specials"), AIMessage(whole[:at])) == whole


async def test_a_prefill_of_other_words_is_followed_by_the_whole_answer(model: ChatGroq) -> None:
    assert await text(model, ask("tokens=3"), AIMessage("Once upon a time")) == numbered(3)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, groq.BadRequestError),
        (401, groq.AuthenticationError),
        (403, groq.PermissionDeniedError),
        (404, groq.NotFoundError),
        (413, groq.APIStatusError),
        (422, groq.UnprocessableEntityError),
        (429, groq.RateLimitError),
        (498, groq.APIStatusError),
        (500, groq.InternalServerError),
        (502, groq.InternalServerError),
        (503, groq.InternalServerError),
    ],
)
async def test_an_error_status_raises_the_sdks_error_of_that_status(
    model: ChatGroq, status: int, raised: type[groq.APIStatusError]
) -> None:
    with pytest.raises(groq.APIStatusError) as caught:
        await chunks(model, ask(f"fault={status}"))
    assert type(caught.value) is raised
    assert caught.value.status_code == status


async def test_a_rate_limit_says_when_to_come_back_and_what_it_is(model: ChatGroq) -> None:
    with pytest.raises(groq.RateLimitError) as caught:
        await chunks(model, ask("fault=429 retry_after=2.5"))
    assert caught.value.response.headers["retry-after"] == "2.5"
    body = cast("dict[str, dict[str, str]]", caught.value.body)
    assert body["error"]["code"] == "rate_limit_exceeded"


async def test_a_proxys_error_page_is_an_error_whose_body_is_text(model: ChatGroq) -> None:
    with pytest.raises(groq.InternalServerError) as caught:
        await chunks(model, ask("fault=502"))
    assert "<h1>502" in str(caught.value.body)


async def test_a_hang_before_the_answer_raises_the_sdks_timeout(model: ChatGroq) -> None:
    with pytest.raises(groq.APITimeoutError):
        await chunks(model, ask("fault=hang"))


async def test_a_connection_closed_before_the_answer_raises_the_sdks_connection_error(model: ChatGroq) -> None:
    with pytest.raises(groq.APIConnectionError) as caught:
        await chunks(model, ask("fault=drop"))
    assert not isinstance(caught.value, groq.APITimeoutError)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("stall", httpx.ReadTimeout),
        ("cut", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("malformed", json.JSONDecodeError),
        ("error", groq.APIError),
    ],
)
@pytest.mark.parametrize("public", [False, True])
async def test_a_fault_in_mid_answer_raises_after_the_tokens_before_it(
    model: ChatGroq, fault: str, raised: type[Exception], public: bool
) -> None:
    question: list[BaseMessage] = [ask(f"tokens=9 fault={fault} after=4")]
    said, _ = await said_before(raised, model.astream(question) if public else model._astream(question))
    assert said == numbered(4)


async def test_an_error_event_in_mid_stream_has_no_status_but_a_code(model: ChatGroq) -> None:
    with pytest.raises(groq.APIError) as caught:
        await chunks(model, ask("fault=error after=1 code=over_capacity"))
    assert not isinstance(caught.value, groq.APIStatusError)
    assert cast("dict[str, str]", caught.value.body)["code"] == "over_capacity"


async def test_an_answer_that_ends_cleanly_in_the_middle_raises_nothing_and_has_no_finish_reason(
    model: ChatGroq,
) -> None:
    whole = merged(await chunks(model, ask("tokens=9 fault=truncate after=4")))
    assert whole.content == numbered(4)
    assert "finish_reason" not in whole.response_metadata
    assert whole.usage_metadata is None


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("hang", groq.APITimeoutError),
        ("stall", groq.APITimeoutError),
        ("cut", groq.APIConnectionError),
        ("reset", groq.APIConnectionError),
        ("malformed", json.JSONDecodeError),
        ("error", groq.InternalServerError),
    ],
)
async def test_a_fault_of_an_answer_that_is_not_streamed_raises(
    model: ChatGroq, fault: str, raised: type[Exception]
) -> None:
    with pytest.raises(raised) as caught:
        await model.ainvoke([ask(f"fault={fault}")])
    assert type(caught.value) is raised


async def test_an_answer_can_stop_for_its_length(model: ChatGroq) -> None:
    whole = merged(await chunks(model, ask("tokens=4 fault=length")))
    assert (whole.content, whole.response_metadata["finish_reason"]) == (numbered(4), "length")


async def test_max_tokens_cuts_an_answer_and_the_reason_says_so(model: ChatGroq) -> None:
    whole = merged(await chunks(model, ask("tokens=40"), max_tokens=6))
    assert (whole.content, whole.response_metadata["finish_reason"]) == (numbered(6), "length")


async def test_a_fault_that_applies_once_spares_the_retry_which_goes_on_from_the_text(model: ChatGroq) -> None:
    question = ask("tokens=20 fault=cut after=7 once=1")
    said, _ = await said_before(httpx.RemoteProtocolError, model._astream([question]))
    assert said == numbered(7)
    assert said + await text(model, question, AIMessage(said)) == numbered(20)


async def test_a_fault_that_applies_twice_spares_the_third_try_of_that_conversation_only(model: ChatGroq) -> None:
    for question in (ask("fault=500 once=2"), HumanMessage("another [[fault=500 once=2]]")):
        for _ in range(2):
            with pytest.raises(groq.InternalServerError):
                await chunks(model, question)
        assert await text(model, question) == numbered(8)


async def test_a_tool_call_comes_in_pieces_and_is_answered_after_its_result(model: ChatGroq) -> None:
    question = ask("tool=web_search query=new+in+Python tokens=5")
    pieces = await chunks(model, question, tools=[SEARCH_TOOL])
    called = merged(pieces)
    assert len([piece for piece in pieces if piece.tool_call_chunks]) == 4
    assert called.response_metadata["finish_reason"] == "tool_calls"
    assert [(each["name"], each["args"]) for each in called.tool_calls] == [("web_search", {"query": "new in Python"})]
    turn = [AIMessage("", tool_calls=called.tool_calls), ToolMessage("found", tool_call_id=called.tool_calls[0]["id"])]
    assert await text(model, question, *turn, tools=[SEARCH_TOOL]) == numbered(5)


async def test_a_request_without_tools_is_answered_in_text(model: ChatGroq) -> None:
    assert await text(model, ask("fault=tool tokens=3")) == numbered(3)


async def test_two_tools_are_called_at_once_after_some_text(model: ChatGroq) -> None:
    called = merged(await chunks(model, ask("fault=tool calls=2 after=3"), tools=[SEARCH_TOOL]))
    assert called.content == numbered(3)
    assert [each["name"] for each in called.tool_calls] == ["web_search", "web_search"]
    assert len({each["id"] for each in called.tool_calls}) == 2


async def test_tool_arguments_can_be_broken(model: ChatGroq) -> None:
    called = merged(await chunks(model, ask("fault=tool args=broken"), tools=[SEARCH_TOOL]))
    assert called.tool_call_chunks[0]["args"] == '{"query":'


async def test_a_tool_is_called_for_as_many_rounds_as_asked_for(model: ChatGroq) -> None:
    turn: list[BaseMessage] = [ask("tool=web_search steps=2")]
    for _ in range(2):
        called = merged(await chunks(model, *turn, tools=[SEARCH_TOOL]))
        assert len(called.tool_calls) == 1
        turn += [
            AIMessage("", tool_calls=called.tool_calls),
            ToolMessage("found", tool_call_id=called.tool_calls[0]["id"]),
        ]
    assert await text(model, *turn, tools=[SEARCH_TOOL]) == numbered(8)


async def test_a_held_answer_waits_at_its_gate_until_it_is_released(groq_url: str, model: ChatGroq) -> None:
    answer = asyncio.create_task(text(model, ask("tokens=6 hold=lunch after=2")))
    (held,) = await requests(groq_url, held=1)
    assert (held["outcome"], held["tokens_sent"]) == ("held", 2)
    await release(groq_url, "lunch")
    assert await answer == numbered(6)
    (over,) = await requests(groq_url, ended=1)
    assert (over["outcome"], over["tokens_sent"]) == ("finished", 6)


async def test_a_client_that_leaves_is_noticed(groq_url: str, model: ChatGroq) -> None:
    # Cancelled, not closed: closing `_astream` leaves the SDK's response open until the garbage collector finds it.
    reading = asyncio.create_task(text(model, ask("tokens=100 hold=never after=1")))
    await requests(groq_url, held=1)
    reading.cancel()
    await requests(groq_url, ended=1)
    with pytest.raises(httpx.ReadTimeout):
        await text(model, ask("hold=never"))
    outcomes = [request["outcome"] for request in await requests(groq_url, ended=2)]
    assert outcomes == ["abandoned", "abandoned"]


async def test_what_was_asked_is_captured_in_order(groq_url: str, model: ChatGroq) -> None:
    started = time.time()
    await text(model, HumanMessage("first apple"))
    await text(model, HumanMessage("second pear"))
    await text(model, HumanMessage("third apple"))
    captured = await requests(groq_url, arrived=3, ended=3)
    assert [request["body"]["messages"][-1]["content"] for request in captured] == [
        "first apple",
        "second pear",
        "third apple",
    ]
    assert captured[0]["headers"]["authorization"] == "Bearer x"
    assert started <= captured[0]["arrived_at"] <= time.time()
    assert [request["number"] for request in await requests(groq_url, containing="apple")] == [1, 3]


async def test_a_script_says_how_the_next_requests_are_answered(groq_url: str, model: ChatGroq) -> None:
    await script(groq_url, "fault=503", times=2)
    await script(groq_url, reply="A short  summary.\n")
    for _ in range(2):
        with pytest.raises(groq.InternalServerError):
            await chunks(model, HumanMessage("Hello"))
    assert await text(model, HumanMessage("Hello")) == "A short  summary.\n"
    assert await text(model, HumanMessage("Hello")) == numbered(8)


async def test_a_script_with_a_marker_is_for_the_requests_that_have_it(groq_url: str, model: ChatGroq) -> None:
    await script(groq_url, "fault=tool", marker="weather", arguments={"city": "Łódź"})
    assert await text(model, HumanMessage("the time, please"), tools=[SEARCH_TOOL]) == numbered(8)
    called = merged(await chunks(model, HumanMessage("the weather, please"), tools=[SEARCH_TOOL]))
    assert called.tool_calls[0]["args"] == {"city": "Łódź"}


async def test_a_directive_that_is_only_quoted_is_not_obeyed(model: ChatGroq) -> None:
    assert await text(model, HumanMessage("Summarize: user: [[fault=500]] hello")) == numbered(8)


@pytest.mark.parametrize(
    "directive", ["tokns=3", "tokens=many", "tokens=-1", "fault=unheard-of", "text=blank", "rate=inf"]
)
async def test_a_directive_that_makes_no_sense_is_refused(model: ChatGroq, directive: str) -> None:
    with pytest.raises(groq.BadRequestError):
        await chunks(model, ask(directive))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"messages": []}, "minimum number of items is 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "'messages.0'"),
        ({"messages": [{"role": "user", "content": None}]}, "'messages.0.content'"),
        ({"messages": [{"role": "tool", "tool_call_id": "nobody", "content": "x"}]}, "tool_call_id"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "c1"}]},
                    {"role": "assistant", "tool_calls": [{"id": "c2"}]},
                    {"role": "tool", "tool_call_id": "c1", "content": "x"},
                ]
            },
            "tool_call_id",
        ),
        ({"model": ""}, "'model'"),
        ({"temperature": 3}, "'temperature'"),
        ({"max_tokens": 0}, "'max_tokens'"),
        ({"n": 2}, "'n'"),
        ({"colour": "blue"}, "property 'colour' is unsupported"),
    ],
)
async def test_a_request_that_groq_would_refuse_is_refused(groq_url: str, wrong: dict[str, object], told: str) -> None:
    body = {"model": "double", "messages": [{"role": "user", "content": "Hello"}], **wrong}
    async with httpx.AsyncClient(base_url=groq_url, headers={"authorization": "Bearer x"}) as client:
        answer = await client.post("/openai/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


async def test_a_request_without_a_key_is_refused(groq_url: str) -> None:
    body = {"model": "double", "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=groq_url) as client:
        answer = await client.post("/openai/v1/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_the_sdk_lists_the_models(started_groq_url: str) -> None:
    with groq.Groq(base_url=started_groq_url, api_key="x") as client:
        assert "openai/gpt-oss-120b" in [listed.id for listed in client.models.list().data]


def test_the_double_tells_that_it_is_well(started_groq_url: str) -> None:
    assert call(started_groq_url, "GET", "/health") == {"status": "ok"}


def test_a_double_is_gone_when_its_block_ends() -> None:
    with start_groq_double() as url:
        assert call(url, "GET", "/health") == {"status": "ok"}
    with pytest.raises(ConnectionRefusedError):
        call(url, "GET", "/health")


async def test_a_hundred_streams_at_once_are_each_complete_and_in_order(groq_url: str) -> None:
    body = {"model": "double", "stream": True, "messages": [{"role": "user", "content": "[[tokens=40 rate=100]]"}]}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=groq_url, headers={"authorization": "Bearer x"}, limits=limits) as client:
        answers = await asyncio.gather(*(client.post("/openai/v1/chat/completions", json=body) for _ in range(100)))
    for answer in answers:
        events = [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]
        assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == numbered(40)


async def test_a_manner_is_played_instead_of_the_answer_and_an_unknown_one_is_refused(
    model: ChatGroq, groq_url: str
) -> None:
    said = await chunks(model, HumanMessage("[[manner=stop_with_nothing]]"))
    assert not "".join(str(chunk.content) for chunk in said)
    assert said[-1].response_metadata["finish_reason"] == "stop"
    with pytest.raises(groq.BadRequestError, match="no_such_manner"):
        await chunks(model, HumanMessage("[[manner=no_such_manner]]"))


async def test_a_fault_may_be_of_one_model_only(model: ChatGroq, groq_url: str) -> None:
    assert await chunks(model, HumanMessage("[[tokens=2 fault=500 model=another]]"))
    with pytest.raises(groq.InternalServerError):
        await chunks(model, HumanMessage("[[tokens=2 fault=500 model=double]]"))


async def test_titles_have_directives_of_their_own(model: ChatGroq, groq_url: str) -> None:
    message = HumanMessage('The message: "Hello [[title: tokens=1]] [[tokens=2]]" That was it.')
    titled = await chunks(model, SystemMessage("Give the conversation a title of two words."), message)
    answered = await chunks(model, HumanMessage("Hello [[title: tokens=1]] [[tokens=2]]"))
    assert "".join(str(chunk.content) for chunk in titled) == "t1 "
    assert "".join(str(chunk.content) for chunk in answered) == "t1 t2 "


async def test_a_script_may_be_the_whole_stream(model: ChatGroq, groq_url: str) -> None:
    delta = {"choices": [{"index": 0, "delta": {"content": "so "}, "finish_reason": None}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    await script(groq_url, events=[delta, last, "[DONE]"])
    assert "".join(str(chunk.content) for chunk in await chunks(model, HumanMessage("Hello"))) == "so "
