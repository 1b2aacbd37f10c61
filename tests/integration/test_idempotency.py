"""A message that is sent again is the same message: no second answer, and the reader goes on where it was."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.support.clients import Client, numbered, text_of
from tests.support.turns import execute, post, speaking

KEY = {"Idempotency-Key": "7d3f"}


async def test_ten_times_the_same_message_at_once_is_one_message(client: Client) -> None:
    chat = await client.new_chat()
    answers = await asyncio.gather(*(client.post_async(chat, "Hello", headers=KEY) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert [message["content"] for message in await client.messages(chat)] == ["Hello", ""]


async def test_a_repeated_post_goes_on_where_the_reader_was(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    words = "[[tokens=20]]"
    async with client.post(chat, words, headers=KEY) as stream:
        events = stream.events()
        generation = GenerationId(UUID(stream.response.headers["X-Generation-Id"]))
        making = asyncio.create_task(worker.attempts.run(generation))
        seen = [await anext(events) for _ in range(4)]
    await making
    async with client.post(chat, words, headers=KEY | {"Last-Event-ID": seen[-1].id}) as stream:
        seen += await stream.all()
        assert stream.transient_frames == []
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert text_of(seen) == numbered(20)
    terminal = KEY | {"Last-Event-ID": seen[-1].id}
    async with client.post(chat, words, headers=terminal) as stream:
        assert (await stream.all(), stream.done, stream.transient_frames) == (seen[-1:], True, [])
    assert len(await client.messages(chat)) == 2


async def test_a_repeated_post_is_told_how_its_generation_stands_now(client: Client, worker: Worker) -> None:
    chat = await client.new_chat()
    first = await client.post_async(chat, "[[tokens=1]]", headers=KEY)
    await worker.attempts.run(GenerationId(UUID(first.json()["generation"]["id"])))
    second = await client.post_async(chat, "[[tokens=1]]", headers=KEY)
    assert (first.json()["generation"]["status"], second.json()["generation"]["status"]) == ("queued", "completed")
    assert first.json()["message"] == second.json()["message"]
    assert first.json()["stream_url"] == second.json()["stream_url"]


@pytest.mark.parametrize("change", ["content", "chat", "on_conflict"])
async def test_the_same_key_for_something_else_is_refused(client: Client, change: str) -> None:
    chat = await client.new_chat()
    await client.post_async(chat, "Hello", headers=KEY)
    refused = await client.post_async(
        await client.new_chat() if change == "chat" else chat,
        "Something else" if change == "content" else "Hello",
        headers=KEY,
        on_conflict="enqueue" if change == "on_conflict" else "reject",
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert refused.json()["field"] == "Idempotency-Key"
    assert len(await client.messages(chat)) == 2


async def test_a_key_is_its_users_own(client: Client, connect: Callable[[], Client]) -> None:
    other = connect()
    await other.sign_up()
    answers = [await who.post_async(await who.new_chat(), "Hello", headers=KEY) for who in (client, other)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["generation"]["id"] != answers[1].json()["generation"]["id"]


async def test_a_quoted_key_is_the_same_as_a_bare_one(client: Client) -> None:
    chat = await client.new_chat()
    bare = await client.post_async(chat, "Hello", headers=KEY)
    quoted = await client.post_async(chat, "Hello", headers={"Idempotency-Key": '"7d3f"'})
    assert bare.json() == quoted.json()


@pytest.mark.parametrize("key", [b"", b'""', b"k" * 256, b"two words", b"\xe9", b'"open'])
async def test_a_key_that_is_none_is_refused_by_its_name(client: Client, key: bytes) -> None:
    chat = await client.new_chat()
    headers = [(b"idempotency-key", key), (b"prefer", b"respond-async")]
    refused = await client.http.post(f"/api/chats/{chat}/messages", json={"content": "Hello"}, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")
    assert await client.messages(chat) == []


async def test_a_refused_message_leaves_its_key_unused(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=1]]")
    assert (await client.post_async(posted.chat_id, "Next", headers=KEY)).status_code == 409
    await worker.attempts.run(posted.generation_id)
    assert (await client.post_async(posted.chat_id, "Next", headers=KEY)).status_code == 202


async def test_an_interrupting_message_that_is_repeated_does_not_interrupt_itself(
    client: Client, worker: Worker
) -> None:
    async with speaking(client, worker) as speech:
        chat = speech.posted.chat_id
        answers = await asyncio.gather(
            *(client.post_async(chat, "StopReason", headers=KEY, on_conflict="interrupt") for _ in range(5))
        )
    assert len({answer.json()["generation"]["id"] for answer in answers}) == 1
    assert [message["status"] for message in await client.messages(chat)][1::2] == ["cancelled", "pending"]


async def test_a_message_is_answered_once_though_its_job_comes_ten_times(
    client: Client, worker: Worker, database_url: str
) -> None:
    posted = await post(client, "[[tokens=5]]")
    await asyncio.gather(*(worker.attempts.run(posted.generation_id) for _ in range(10)))
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(5)
    assert execute(database_url, "SELECT attempt FROM generations") == [(1,)]
