"""Stopping: at once, without a worker's help, with a receipt for exactly what was said."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest
from redis import Redis

from services.worker.runtime import Worker
from shared.generations.outcome import BROKEN_OFF
from shared.settings import Settings
from shared.streams.names import log_key
from tests.doubles import groq_control
from tests.support.clients import Client, Event, numbered, text_of, types_of
from tests.support.turns import AGE, SAID, Posted, abandoned, execute, post, speaking


async def cancel(client: Client, posted: Posted) -> dict[str, object]:
    """Stop it. Returns the receipt."""
    receipt = (await client.http.post(f"/api/generations/{posted.generation_id}/cancel")).raise_for_status()
    return dict(receipt.json())


async def test_a_stopped_answer_ends_with_abort_and_keeps_exactly_what_was_streamed(
    client: Client, worker: Worker
) -> None:
    async with speaking(client, worker) as speech:
        receipt = await cancel(client, speech.posted)
        seen = await speech.end()
        assert speech.stream.done
    assert types_of(seen)[-3:] == ["text-end", "message-metadata", "abort"]
    assert (receipt["sequence"], receipt["last_event_id"]) == (seen[-1].sequence, seen[-1].id)
    _, reply = await client.messages(speech.posted.chat_id)
    assert (reply["content"], reply["status"], receipt["status"]) == (text_of(seen), "cancelled", "cancelled")
    assert receipt["message_id"] == reply["id"]


async def test_stopping_twice_gives_the_same_receipt(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        receipts = await asyncio.gather(*(cancel(client, speech.posted) for _ in range(10)))
    assert all(receipt == receipts[0] for receipt in receipts)
    assert await cancel(client, speech.posted) == receipts[0]


async def test_the_model_is_left_at_once_not_at_the_next_heartbeat(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    async with speaking(client, worker, words) as speech:
        stopping = asyncio.create_task(cancel(client, speech.posted))
        # How soon exactly, bench/stopping.py measures; a heartbeat would take 5 seconds.
        (asked,) = await groq_control.requests(groq_url, containing=words, ended=1, within=2)
        await stopping
    assert asked["outcome"] == "abandoned"


async def test_an_answer_whose_worker_is_dead_can_be_stopped_at_once(client: Client, worker: Worker) -> None:
    async with abandoned(client, worker, "[[tokens=20 fault=stall after=5]]", numbered(5)) as speech:
        posted = speech.posted
        receipt = await asyncio.wait_for(cancel(client, posted), 3)
        seen = await speech.end()
    assert receipt["sequence"] == seen[-1].sequence
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(5)


async def test_a_queued_answer_is_stopped_without_a_worker_and_never_begun(
    client: Client, worker: Worker, groq_url: str
) -> None:
    words = uuid4().hex
    posted = await post(client, words)
    async with client.read(posted.stream_url) as stream:
        receipt = await cancel(client, posted)
        events = await stream.all()
    assert types_of(events) == ["start", "message-metadata", "abort"]
    assert receipt["sequence"] == 3
    await worker.attempts.run(posted.generation_id)
    assert [asked for asked in await groq_control.requests(groq_url) if words in asked["user_text"]] == []
    assert (await client.messages(posted.chat_id))[1]["status"] == "cancelled"


async def test_stopping_an_answer_that_is_over_only_tells_how_it_ended(client: Client, worker: Worker) -> None:
    posted = await post(client, "[[tokens=3]]")
    await worker.attempts.run(posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        events = await stream.all()
    receipt = await cancel(client, posted)
    assert (receipt["status"], receipt["sequence"]) == ("completed", events[-1].sequence)
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(3)


async def test_a_worker_that_does_not_know_yet_can_write_no_more(
    client: Client, worker: Worker, settings: Settings
) -> None:
    async with speaking(client, worker) as speech:
        receipt = await cancel(client, speech.posted)
    with Redis.from_url(settings.stream_redis_url) as server:
        assert server.xlen(log_key(speech.posted.generation_id)) == receipt["sequence"]


async def test_the_stream_of_a_stopped_answer_can_be_read_again_also_without_its_log(
    client: Client, worker: Worker, settings: Settings
) -> None:
    async with speaking(client, worker) as speech:
        await cancel(client, speech.posted)
        seen = await speech.end()
    async with client.read(speech.posted.stream_url) as stream:
        assert await stream.all() == seen
    with Redis.from_url(settings.stream_redis_url) as server:
        server.delete(log_key(speech.posted.generation_id))
    async with client.read(speech.posted.stream_url) as stream:
        late = await stream.all()
    assert (text_of(late), late[-1].part) == (numbered(SAID), seen[-1].part)
    async with client.read(speech.posted.stream_url, seen[-1].id) as stream:
        assert stream.response.status_code == 204


async def test_parts_have_all_of_the_text_though_redis_lost_the_logs_end(
    client: Client, worker: Worker, settings: Settings
) -> None:
    posted = await post(client, f"[[tokens=20 reasoning=3 after={SAID + 3} hold={uuid4().hex}]]")
    dying = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events, seen = stream.events(), list[Event]()
        while text_of(seen) != numbered(SAID):
            seen.append(await anext(events))
        await worker.attempts.checkpoints.save()
    dying.cancel()
    await asyncio.wait([dying])
    with Redis.from_url(settings.stream_redis_url) as server:
        server.xdel(log_key(posted.generation_id), seen[-1].id.rpartition(":")[2])
    await cancel(client, posted)
    _, reply = await client.messages(posted.chat_id)
    assert reply["content"] == numbered(SAID)
    assert "".join(part["text"] for part in reply["parts"] if part["type"] == "text") == numbered(SAID)
    assert [part["type"] for part in reply["parts"]][:2] == ["step-start", "reasoning"]
    async with client.read(posted.stream_url) as stream:
        assert text_of(await stream.all()) == numbered(SAID)


async def test_what_was_saved_is_kept_when_the_log_is_lost_before_the_stop(
    client: Client, worker: Worker, settings: Settings
) -> None:
    async with speaking(client, worker) as speech:
        await worker.attempts.checkpoints.save()
        with Redis.from_url(settings.stream_redis_url) as server:
            server.delete(log_key(speech.posted.generation_id))
        await cancel(client, speech.posted)
    assert (await client.messages(speech.posted.chat_id))[1]["content"] == numbered(SAID)
    async with client.read(speech.posted.stream_url) as stream:
        assert text_of(await stream.all()) == numbered(SAID)


async def test_a_log_that_could_not_be_closed_at_once_is_closed_by_the_sweep(
    client: Client, worker: Worker, database_url: str
) -> None:
    async with abandoned(client, worker, "[[tokens=20 fault=stall after=5]]", numbered(5)) as speech:
        posted = speech.posted
        # As after an API that died between the row and the log.
        execute(
            database_url,
            "UPDATE generations SET status = 'cancelled', lease_expires_at = NULL, finished_at = now() WHERE id = %s",
            posted.generation_id,
        )
        execute(database_url, AGE)
        await worker.recovery.sweep()
        seen = await speech.end()
    assert types_of(seen)[-3:] == ["text-end", "message-metadata", "abort"]
    assert (await client.messages(posted.chat_id))[1]["content"] == text_of(seen) == numbered(5)


@pytest.mark.parametrize("path", ["/api/generations/{}/cancel", "/api/chats/{}/stop"])
async def test_nobody_stops_what_is_anothers(
    client: Client, connect: Callable[[], Client], database_url: str, path: str
) -> None:
    posted = await post(client, "Mine")
    stranger = connect()
    await stranger.sign_up()
    target = posted.generation_id if "generations" in path else posted.chat_id
    refused = await stranger.http.post(path.format(target))
    missing = await stranger.http.post(path.format(uuid4() if "generations" in path else 999_999))
    assert (refused.status_code, refused.json()) == (404, missing.json())
    assert execute(database_url, "SELECT status FROM generations") == [("queued",)]


async def test_stopping_a_chat_stops_what_it_says_and_what_waits(client: Client, worker: Worker) -> None:
    async with speaking(client, worker) as speech:
        waiting = (await client.post_async(speech.posted.chat_id, "And then?", on_conflict="enqueue")).json()
        stopped = (await client.http.post(f"/api/chats/{speech.posted.chat_id}/stop")).json()["stopped"]
        seen = await speech.end()
    assert [receipt["id"] for receipt in stopped] == [str(speech.posted.generation_id), waiting["generation"]["id"]]
    assert {receipt["status"] for receipt in stopped} == {"cancelled"}
    assert stopped[0]["sequence"] == seen[-1].sequence
    assert (await client.http.post(f"/api/chats/{speech.posted.chat_id}/stop")).json() == {"stopped": []}


async def test_the_model_is_told_what_a_stopped_answer_had_said(client: Client, worker: Worker, groq_url: str) -> None:
    async with speaking(client, worker, "First") as speech:
        await cancel(client, speech.posted)
    words = uuid4().hex
    following = await post(client, f"{words} [[tokens=1]]", speech.posted.chat_id)
    await worker.attempts.run(following.generation_id)
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert [said["content"] for said in asked["body"]["messages"] if said["role"] == "assistant"] == [
        f"{numbered(SAID)}\n\n{BROKEN_OFF}"
    ]


async def test_of_a_stop_and_an_end_at_once_one_wins(client: Client, worker: Worker, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(60)]
    turns = [await post(client, "[[tokens=2]]", chat) for chat in chats]
    work = [worker.attempts.run(turn.generation_id) for turn in turns]
    cancel_signals = [cancel(client, turn) for turn in turns]
    answers = await asyncio.gather(*(race for pair in zip(work, cancel_signals, strict=True) for race in pair))
    rows = execute(
        database_url,
        "SELECT g.id::text, g.status, m.status, m.content FROM generations g"
        " JOIN messages m ON m.id = g.assistant_message_id",
    )
    receipts = {str(receipt["id"]): receipt for receipt in answers if receipt is not None}
    for generation, status, message_status, content in rows:
        assert status in {"completed", "cancelled"}
        assert message_status == status == receipts[str(generation)]["status"]
        assert content == numbered(2) if status == "completed" else numbered(2).startswith(str(content))
