"""What was left behind is found, and what was lost is made again: leases, the sweep, draining."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest

from services.worker.generations.leases import Leases
from services.worker.generations.log_writer import Flusher
from services.worker.runtime import Worker
from shared.errors import AppendRefused
from shared.ids import GenerationId
from shared.settings import Settings
from shared.streams.port import Append, Writer
from tests.doubles import groq_control
from tests.support.clients import Client, Event, error_of, numbered, text_of
from tests.support.turns import AGE, abandoned, execute, logged, open_worker_for, post

EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE id = %s"


async def test_a_message_whose_job_was_never_sent_is_sent_again(
    client: Client, worker: Worker, sent: list[GenerationId], database_url: str
) -> None:
    posted = await post(client, "[[tokens=1]]")
    await worker.recovery.sweep()
    assert sent == []
    execute(database_url, AGE)
    await worker.recovery.sweep()
    await worker.recovery.sweep()
    assert sent == [posted.generation_id]


async def test_a_generation_whose_worker_is_lost_is_made_by_another(
    client: Client, worker: Worker, sent: list[GenerationId], database_url: str
) -> None:
    posted = await post(client, "[[tokens=12 fault=stall after=6 once=1]]")
    lost = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(6):
            seen.append(await anext(events))
        lost.cancel()
        await asyncio.wait([lost])
        execute(database_url, EXPIRE, posted.generation_id)
        await worker.recovery.sweep()
        assert sent == [posted.generation_id]
        await worker.attempts.run(posted.generation_id)
        seen += [event async for event in events]
    assert text_of(seen) == numbered(12)


async def test_after_three_lost_attempts_the_reader_is_told(
    client: Client, worker: Worker, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    posted = await post(client, "[[tokens=12 fault=stall after=2]]")
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        for attempt in (1, 2, 3):
            lost = asyncio.create_task(worker.attempts.run(posted.generation_id))
            while text_of(seen) != numbered(2 * attempt):
                seen.append(await anext(events))
            lost.cancel()
            await asyncio.wait([lost])
            execute(database_url, EXPIRE, posted.generation_id)
            await worker.recovery.sweep()
        seen += [event async for event in events]
    assert error_of(seen) == "worker_lost"
    (line,) = logged(caplog, "answer_failed")
    assert (line["code"], line["model"]) == ("worker_lost", "double")
    assert line["generation_id"] == str(posted.generation_id)
    reply = (await client.messages(posted.chat_id))[1]
    assert (reply["content"], reply["status"]) == (numbered(6), "failed")
    assert text_of(seen) == numbered(6)


async def test_a_log_that_its_worker_could_not_close_is_closed_from_the_row(
    client: Client, worker: Worker, database_url: str
) -> None:
    async with abandoned(client, worker, "[[tokens=9 fault=stall after=5]]", numbered(5)) as speech:
        posted = speech.posted
        # As after a commit whose worker died before it could say so.
        execute(
            database_url,
            "UPDATE generations SET status = 'completed', lease_expires_at = NULL, finished_at = now(),"
            " finish_reason = 'stop' WHERE id = %s",
            posted.generation_id,
        )
        execute(
            database_url, "UPDATE messages SET content = %s, status = 'completed' WHERE role = 'assistant'", numbered(9)
        )
        execute(database_url, AGE)
        await worker.recovery.sweep()
        seen = await speech.end()
    assert text_of(seen) == numbered(9)
    assert seen[-1].part["type"] == "finish"
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


@dataclass
class DyingWriter:
    """A writer whose process dies when it is about to append a terminal frame."""

    writer: Writer
    died: asyncio.Event

    async def append(self, appends: Sequence[Append]) -> list[int | AppendRefused]:
        if any(append.terminal for append in appends):
            self.died.set()
            await asyncio.Event().wait()
        return await self.writer.append(appends)


async def test_a_worker_that_dies_after_the_commit_leaves_its_log_to_the_sweep(
    client: Client, worker: Worker, database_url: str
) -> None:
    writer = DyingWriter(worker.recovery.writer, asyncio.Event())
    flusher = Flusher(writer, worker.recovery.stream_log, interval=0.025)
    flushing = asyncio.create_task(flusher.run())
    posted = await post(client, "[[tokens=9]]")
    dying = asyncio.create_task(replace(worker.attempts, flusher=flusher).run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        reading = asyncio.create_task(stream.all())
        await writer.died.wait()
        for task in (dying, flushing):
            task.cancel()
            await asyncio.wait([task])
        assert execute(database_url, "SELECT status, closed_at FROM generations") == [("completed", None)]
        execute(database_url, AGE)
        await worker.recovery.sweep()
        seen = await reading
        assert stream.done
    assert text_of(seen) == numbered(9)
    assert seen[-1].part["type"] == "finish"
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_a_heartbeat_keeps_a_long_generation_its_workers(
    client: Client, worker: Worker, settings: Settings, database_url: str, groq_url: str
) -> None:
    leases = Leases(worker.attempts.database, lease=2)
    beating = asyncio.create_task(leases.beat())
    posted = await post(client, "[[tokens=2 after=1 hold=beating]]")
    making = asyncio.create_task(replace(worker.attempts, leases=leases).run(posted.generation_id))
    await groq_control.requests(groq_url, held=1)
    (first,) = execute(database_url, "SELECT lease_expires_at FROM generations")
    renewed = first
    while (renewed[0] - first[0]).total_seconds() < 3:  # type: ignore[operator]
        (renewed,) = await asyncio.to_thread(execute, database_url, "SELECT lease_expires_at FROM generations")
    assert execute(database_url, "SELECT status, attempt FROM generations") == [("running", 1)]
    await groq_control.release(groq_url, "beating")
    await making
    beating.cancel()
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(2)


async def test_a_worker_that_lost_its_lease_stops_at_the_next_heartbeat(
    client: Client, worker: Worker, database_url: str, groq_url: str
) -> None:
    leases = Leases(worker.attempts.database, lease=3)
    beating = asyncio.create_task(leases.beat())
    posted = await post(client, "Lost lease [[tokens=2 after=1 hold=lost-lease]]")
    making = asyncio.create_task(replace(worker.attempts, leases=leases).run(posted.generation_id))
    await groq_control.requests(groq_url, held=1)
    execute(database_url, "UPDATE generations SET attempt = attempt + 1")
    await asyncio.wait_for(making, 20)
    beating.cancel()
    (asked,) = await groq_control.requests(groq_url, containing="Lost lease", ended=1)
    assert asked["outcome"] == "abandoned"
    assert execute(database_url, "SELECT status FROM generations") == [("running",)]


async def test_a_draining_worker_gives_back_what_it_could_not_finish(
    client: Client, worker: Worker, sent: list[GenerationId], groq_url: str, settings: Settings
) -> None:
    posted = await post(client, "[[tokens=8 after=4 hold=draining]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(4):
            seen.append(await anext(events))
        await worker.attempts.leases.drain(0.05)
        await making
        assert sent == [posted.generation_id]
        await groq_control.release(groq_url, "draining")
        async with open_worker_for(settings) as another:
            await another.attempts.run(posted.generation_id)
        seen += [event async for event in events]
    assert text_of(seen) == numbered(8)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_what_a_draining_worker_was_about_to_begin_is_given_back_too(
    client: Client, worker: Worker, sent: list[GenerationId], database_url: str
) -> None:
    posted = await post(client, f"[[tokens=8 hold={uuid4().hex}]]")
    await worker.attempts.leases.drain(0.05)
    async with asyncio.timeout(5):
        await worker.attempts.run(posted.generation_id)
    assert sent == [posted.generation_id]
    assert execute(database_url, "SELECT status, losses FROM generations") == [("queued", 0)]


async def test_a_draining_worker_lets_what_is_nearly_done_finish(
    client: Client, worker: Worker, sent: list[GenerationId], groq_url: str
) -> None:
    posted = await post(client, "[[tokens=8 after=4 hold=nearly]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    await groq_control.requests(groq_url, held=1)
    draining = asyncio.create_task(worker.attempts.leases.drain(10))
    await groq_control.release(groq_url, "nearly")
    await draining
    await making
    assert sent == []
    assert (await client.messages(posted.chat_id))[1]["content"] == numbered(8)
