"""Two messages at once in a chat: refused, interrupting, or in line; positions without gap or double."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import httpx

from services.worker.runtime import Worker
from shared.generations.outcome import BROKEN_OFF
from shared.ids import GenerationId
from tests.doubles import groq_control
from tests.support.clients import Client, numbered, text_of, types_of
from tests.support.turns import execute, post, speaking


def generation_of(accepted: httpx.Response) -> GenerationId:
    """The generation of a 202."""
    assert accepted.status_code == 202, accepted.text
    return GenerationId(UUID(accepted.json()["generation"]["id"]))


async def test_a_second_message_is_refused_with_the_way_to_the_first_ones_answer(client: Client) -> None:
    posted = await post(client, "First")
    refused = await client.post_async(posted.chat_id, "Second")
    assert (refused.status_code, refused.json()["code"]) == (409, "generation_in_progress")
    assert refused.json()["generation_id"] == str(posted.generation_id)
    assert refused.json()["stream_url"] == posted.stream_url
    assert [message["content"] for message in await client.messages(posted.chat_id)] == ["First", ""]


async def test_of_20_messages_at_once_in_each_of_10_chats_one_is_accepted(client: Client, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(10)]
    answers = await asyncio.gather(*(client.post_async(chat, f"{n}") for chat in chats for n in range(20)))
    assert Counter(answer.status_code for answer in answers) == {202: 10, 409: 190}
    positions = execute(database_url, "SELECT array_agg(position ORDER BY position) FROM messages GROUP BY chat_id")
    assert positions == [([1, 2],)] * 10


async def test_positions_have_no_gap_after_many_rounds_of_messages_at_once(
    client: Client, worker: Worker, database_url: str
) -> None:
    chat = await client.new_chat()
    for _ in range(5):
        answers = await asyncio.gather(*(client.post_async(chat, f"[[tokens=1]] {n}") for n in range(10)))
        (accepted,) = [answer for answer in answers if answer.status_code == 202]
        await worker.attempts.run(generation_of(accepted))
    assert [message["position"] for message in await client.messages(chat)] == list(range(1, 11))
    assert execute(database_url, "SELECT last_position FROM chats") == [(10,)]


async def test_an_interrupting_message_stops_the_answer_and_is_told_what_it_said(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    async with speaking(client, worker) as speech:
        chat = speech.posted.chat_id
        accepted = await client.post_async(chat, f"{words} [[tokens=2]]", on_conflict="interrupt")
        seen = await speech.end()
    assert seen[-1].part["type"] == "abort"
    await worker.attempts.run(generation_of(accepted))
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert [said["content"] for said in asked["body"]["messages"][2:3]] == [f"{text_of(seen)}\n\n{BROKEN_OFF}"]
    messages = await client.messages(chat)
    assert [message["position"] for message in messages] == [1, 2, 3, 4]
    assert [message["status"] for message in messages] == ["completed", "cancelled", "completed", "completed"]


async def test_an_interrupting_message_to_a_quiet_chat_is_just_accepted(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    accepted = await client.post_async(chat, "[[tokens=2]]", on_conflict="interrupt")
    await worker.attempts.run(generation_of(accepted))
    assert (await client.messages(chat))[1]["content"] == numbered(2)


async def test_of_many_interrupting_messages_at_once_the_last_is_answered(client: Client, database_url: str) -> None:
    chat = await client.new_chat()
    answers = await asyncio.gather(*(client.post_async(chat, f"{n}", on_conflict="interrupt") for n in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    rows = execute(database_url, "SELECT status, count(*) FROM generations GROUP BY status ORDER BY status")
    assert rows == [("cancelled", 19), ("queued", 1)]
    assert [message["position"] for message in await client.messages(chat)] == list(range(1, 41))


async def test_messages_in_line_are_answered_in_order_without_a_sweep(
    client: Client, worker: Worker, sent: list[GenerationId]
) -> None:
    first = await post(client, "[[tokens=1]]")
    line = [
        generation_of(await client.post_async(first.chat_id, f"[[tokens={n}]]", on_conflict="enqueue"))
        for n in (2, 3, 4)
    ]
    generations = [(await client.http.get(f"/api/generations/{generation}")).json() for generation in line]
    assert [generation["status"] for generation in generations] == ["waiting"] * 3
    await worker.attempts.run(line[1])  # a stray job must not let it begin before its turn
    await worker.attempts.run(first.generation_id)
    for generation in line:
        assert sent.pop() == generation
        await worker.attempts.run(generation)
    assert sent == []
    replies = [message["content"] for message in await client.messages(first.chat_id) if message["role"] == "assistant"]
    assert replies == [numbered(n) for n in (1, 2, 3, 4)]


async def test_a_message_in_line_of_a_quiet_chat_is_queued_at_once(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    generation = generation_of(await client.post_async(chat, "[[tokens=1]]", on_conflict="enqueue"))
    await worker.attempts.run(generation)
    assert (await client.messages(chat))[1]["status"] == "completed"


async def test_nobody_overtakes_a_message_in_line(client: Client, worker: Worker, database_url: str) -> None:
    first = await post(client, "[[tokens=1]]")
    waiting = generation_of(await client.post_async(first.chat_id, "Second", on_conflict="enqueue"))
    # As in the moment between the first one's end and the second one's turn.
    execute(
        database_url,
        "UPDATE generations SET status = 'completed', finished_at = now(), closed_at = now() WHERE id = %s",
        first.generation_id,
    )
    refused = await client.post_async(first.chat_id, "Third")
    assert (refused.status_code, refused.json()["generation_id"]) == (409, str(waiting))


async def test_the_sweep_lets_a_message_begin_whose_predecessor_died_before_it_could(
    client: Client, worker: Worker, sent: list[GenerationId], database_url: str
) -> None:
    first = await post(client, "[[tokens=1]]")
    waiting = generation_of(await client.post_async(first.chat_id, "Second", on_conflict="enqueue"))
    await worker.recovery.sweep()
    assert sent == []
    execute(
        database_url,
        "UPDATE generations SET status = 'failed', finished_at = now(), closed_at = now() WHERE id = %s",
        first.generation_id,
    )
    await worker.recovery.sweep()
    assert sent == [waiting]


async def test_stopping_the_answer_lets_the_next_in_line_begin(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        chat = speech.posted.chat_id
        waiting = generation_of(await client.post_async(chat, "[[tokens=2]]", on_conflict="enqueue"))
        (await client.http.post(f"/api/generations/{speech.posted.generation_id}/cancel")).raise_for_status()
    assert (await client.http.get(f"/api/generations/{waiting}")).json()["status"] == "queued"
    await worker.attempts.run(waiting)
    assert (await client.messages(chat))[3]["content"] == numbered(2)


async def test_a_reader_is_told_where_its_generation_stands(client: Client, database_url: str) -> None:
    ahead = await post(client, "Ahead")
    behind = await post(client, "Behind")
    waiting = (await client.post_async(behind.chat_id, "Waiting", on_conflict="enqueue")).json()
    expected = [
        (ahead.stream_url, {"status": "queued", "position": 1}),
        (behind.stream_url, {"status": "queued", "position": 2}),
        (waiting["stream_url"], {"status": "waiting"}),
    ]
    for url, status in expected:
        async with client.http.stream("GET", url) as response:
            lines = response.aiter_lines()
            async for line in lines:
                if line.startswith("data:"):
                    break
            assert line == "data: " + compact({"type": "data-status", "data": status, "transient": True})


def compact(part: dict[str, object]) -> str:
    """JSON as frames have it."""
    return httpx.Response(200, json=part).text


async def test_the_log_tells_when_the_model_is_asked(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=1]]")
    await worker.attempts.run(posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        events = await stream.all()
    assert types_of(events)[:3] == ["start", "start-step", "data-status"]
    assert events[2].part["data"] == {"status": "generating"}


async def test_the_chats_stream_is_that_of_the_live_answer_not_of_one_in_line(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        await client.post_async(speech.posted.chat_id, "Later", on_conflict="enqueue")
        async with client.read(f"/api/chats/{speech.posted.chat_id}/stream") as stream:
            assert stream.response.headers["X-Generation-Id"] == str(speech.posted.generation_id)
