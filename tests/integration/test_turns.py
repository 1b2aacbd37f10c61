"""A message's way: accepted, generated, streamed, saved; and what the reader and the database say when the model fails."""

import asyncio
import re

import pytest

from services.worker.runtime import Worker
from shared.settings import Settings
from tests.doubles import groq_control
from tests.doubles.groq.text import SPECIALS
from tests.support.clients import Client, Event, error_of, numbered, text_of, types_of
from tests.support.turns import answer, execute, logged, open_worker_for, post

WHOLE = ["start", "start-step", "data-status", "text-start", "text-delta", "text-end", "finish-step", "finish"]


async def test_a_message_is_answered_streamed_and_saved(client: Client, worker: Worker) -> None:
    posted, events = await answer(client, worker, "[[tokens=5]]")
    assert text_of(events) == numbered(5)
    assert types_of(events) == WHOLE
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    question, reply = await client.messages(posted.chat_id)
    assert (question["position"], reply["position"]) == (1, 2)
    assert (reply["content"], reply["status"]) == (numbered(5), "completed")
    assert reply["usage"]["completionTokens"] == 5
    assert events[-1].part["messageMetadata"]["usage"] == reply["usage"]
    assert events[0].part["messageId"] == str(reply["id"])


async def test_the_first_token_does_not_wait_for_the_second(client: Client, worker: Worker, groq_url: str) -> None:
    posted = await post(client, "[[tokens=2 after=1 hold=second]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        while (event := await anext(events)).part["type"] != "text-delta":
            pass
        assert event.part["delta"] == "t1 "
        await groq_control.release(groq_url, "second")
        rest = [event async for event in events]
    await making
    assert text_of(rest) == "t2 "


async def test_the_next_question_is_asked_with_the_conversation_before_it(
    client: Client, worker: Worker, groq_url: str
) -> None:
    posted, _ = await answer(client, worker, "First question [[tokens=3]]")
    await answer(client, worker, "Second question [[tokens=1]]", posted.chat_id)
    (asked,) = [
        captured["body"]["messages"]
        for captured in await groq_control.requests(groq_url)
        if captured["body"]["messages"][-1]["content"].startswith("Second question")
    ]
    assert [said["role"] for said in asked] == ["system", "user", "assistant", "user"]
    assert asked[2]["content"] == numbered(3)


@pytest.mark.parametrize(
    ("directive", "code", "text", "endpoint"),
    [
        ("fault=429 retry_after=0", "model_rate_limited", "", (429, "rate_limit_exceeded")),
        ("fault=401", "model_auth_failed", "", (401, "invalid_api_key")),
        ("fault=400 code=tool_use_failed", "model_tool_call_failed", "", (400, "tool_use_failed")),
        ("fault=422 code=A+sentence,+perhaps+of+the+person's", "model_rejected", "", (422, None)),
        ("fault=404", "model_not_available", "", (404, "model_not_found")),
        ("fault=400 code=model_decommissioned", "model_not_available", "", (400, "model_decommissioned")),
        ("fault=500", "model_unavailable", "", (500, None)),
        ("fault=502", "model_unavailable", "", (502, None)),
        ("fault=cut after=4", "model_bad_response", numbered(16), (None, None)),
        ("fault=reset after=4", "model_bad_response", numbered(16), (None, None)),
        ("fault=error after=4", "model_bad_response", numbered(16), (200, "model_error")),
        ("fault=truncate after=4", "model_bad_response", numbered(16), (None, None)),
        ("fault=drop", "model_unavailable", "", (None, None)),
    ],
)
async def test_a_model_that_fails_ends_the_stream_with_an_error_and_keeps_what_it_said(
    client: Client,
    worker: Worker,
    caplog: pytest.LogCaptureFixture,
    directive: str,
    code: str,
    text: str,
    endpoint: tuple[int | None, str | None],
) -> None:
    # A model that breaks off is asked to go on three times, and breaks off each time.
    posted, events = await answer(client, worker, f"[[tokens=20 {directive}]]")
    assert error_of(events) == code
    assert text_of(events) == text
    assert types_of(events)[-3] == ("text-end" if text else "data-status")
    _, reply = await client.messages(posted.chat_id)
    assert (reply["content"], reply["status"]) == (text, "failed")
    assert reply["parts"][-1] == events[-2].part
    assert reply["generation"]["error"] == events[-2].part["data"]
    generation = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert (generation["status"], generation["error_code"]) == ("failed", code)
    (line,) = logged(caplog, "answer_failed")
    assert (line["code"], line["model"], line["generation_id"]) == (code, "double", str(posted.generation_id))
    assert (line["endpoint_status"], line["endpoint_code"]) == endpoint


@pytest.mark.parametrize("directive", ["fault=hang", "fault=stall after=3"])
async def test_a_silent_model_is_given_up(client: Client, settings: Settings, directive: str) -> None:
    async with open_worker_for(settings.model_copy(update={"model_read_timeout_seconds": 0.3})) as impatient:
        _, events = await answer(client, impatient, f"[[tokens=20 {directive}]]")
    assert error_of(events) == "model_timeout"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_model_that_fails_once_is_asked_again(client: Client, worker: Worker, status: int) -> None:
    posted, events = await answer(client, worker, f"[[tokens=4 fault={status} retry_after=0 once=1]]")
    assert text_of(events) == numbered(4)
    assert (await client.messages(posted.chat_id))[1]["status"] == "completed"


async def test_after_a_failure_the_chat_goes_on(client: Client, worker: Worker) -> None:
    posted, _ = await answer(client, worker, "[[fault=401]]")
    _, events = await answer(client, worker, "[[tokens=2]]", posted.chat_id)
    assert text_of(events) == numbered(2)
    assert [message["position"] for message in await client.messages(posted.chat_id)] == [1, 2, 3, 4]


async def test_text_that_breaks_naive_streams_arrives_intact(client: Client, worker: Worker) -> None:
    posted, events = await answer(client, worker, "[[text=specials]]")
    expected = re.sub("[\0\ud800-\udfff]", "\ufffd", "".join(SPECIALS))
    assert text_of(events) == expected
    assert (await client.messages(posted.chat_id))[1]["content"] == expected


async def test_an_answer_is_cut_at_the_greatest_length(client: Client, settings: Settings, groq_url: str) -> None:
    async with open_worker_for(settings.model_copy(update={"reply_max_chars": 1000})) as brief:
        posted, events = await answer(client, brief, "Go on and on [[tokens=4000 rate=2000]]")
    assert events[-1].part["finishReason"] == "length"
    saved = (await client.messages(posted.chat_id))[1]["content"]
    assert saved == text_of(events)
    assert 1000 <= len(saved) < 1100
    (asked,) = await groq_control.requests(groq_url, containing="Go on and on", ended=1)
    assert asked["outcome"] == "abandoned", "the model was left talking"


async def test_a_second_delivery_of_the_same_job_does_nothing(client: Client, worker: Worker, groq_url: str) -> None:
    posted = await post(client, "Only once [[tokens=3]]")
    await asyncio.gather(*(worker.attempts.run(posted.generation_id) for _ in range(10)))
    asked = [
        captured
        for captured in await groq_control.requests(groq_url)
        if captured["body"]["messages"][-1]["content"].startswith("Only once")
    ]
    assert len(asked) == 1
    async with client.read(posted.stream_url) as stream:
        assert text_of(await stream.all()) == numbered(3)


async def test_a_generation_says_what_it_took(client: Client, worker: Worker) -> None:
    posted, _ = await answer(client, worker, "[[tokens=3]]")
    generation = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert (generation["status"], generation["attempt"], generation["finish_reason"]) == ("completed", 1, "stop")
    assert generation["created_at"] <= generation["started_at"] <= generation["first_token_at"]
    assert generation["usage"]["completionTokens"] == 3
    assert generation["model"] == "double"


async def test_what_an_earlier_attempt_began_is_continued_without_a_seam(
    client: Client, worker: Worker, database_url: str
) -> None:
    posted = await post(client, "[[tokens=30 fault=stall after=10 once=1]]")
    lost = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(10):
            seen.append(await anext(events))
        # The worker is gone, and the sweep has found out.
        lost.cancel()
        await asyncio.wait([lost])
        execute(
            database_url,
            "UPDATE generations SET status = 'queued', lease_expires_at = NULL WHERE id = %s",
            posted.generation_id,
        )
        await worker.attempts.run(posted.generation_id)
        seen += [event async for event in events]
    assert text_of(seen) == numbered(30)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert [part for part in types_of(seen) if part.startswith("text-") and part != "text-delta"] == [
        "text-start",
        "text-end",
    ]
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(30)


async def test_a_worker_whose_generation_was_taken_over_can_write_no_more(
    client: Client, worker: Worker, database_url: str, groq_url: str
) -> None:
    posted = await post(client, "[[tokens=6 after=3 hold=zombie]]")
    zombie = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(3):
            seen.append(await anext(events))
        execute(
            database_url,
            "UPDATE generations SET status = 'queued', lease_expires_at = NULL WHERE id = %s",
            posted.generation_id,
        )
        successor = asyncio.create_task(worker.attempts.run(posted.generation_id))
        while seen[-1].part["type"] != "start" or seen[-1].sequence == 1:
            seen.append(await anext(events))
        await groq_control.release(groq_url, "zombie")
        await asyncio.gather(zombie, successor)
        seen += [event async for event in events]
    assert text_of(seen) == numbered(6)
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(6)
    generation = (await client.http.get(f"/api/generations/{posted.generation_id}")).json()
    assert (generation["status"], generation["attempt"]) == ("completed", 2)
