"""One trace through the API and the workers: every log line that belongs to a generation names both."""

import asyncio
import json
from typing import Any

import pytest

from services.worker.runtime import Worker
from shared.telemetry.traces import read_traceparent
from tests.conftest import NewSystem
from tests.support.clients import Client, logged_in
from tests.support.forks import Process
from tests.support.system import System
from tests.support.turns import AGE, Noted, Posted, execute, logged, post

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
EXPIRE = "UPDATE generations SET lease_expires_at = now() - interval '1 second' WHERE id = %s"


async def ask(client: Client, content: str, traceparent: str = TRACEPARENT) -> Posted:
    """Accept a message that belongs to a trace."""
    chat_id = await client.new_chat()
    accepted = await client.post_async(chat_id, content, headers={"traceparent": traceparent})
    return Posted.of(chat_id, accepted.raise_for_status().json())


def ids(line: dict[str, Any]) -> tuple[str, str]:
    """The trace and the generation that a log line names."""
    return line["trace_id"], line["generation_id"]


async def test_the_lines_of_an_answer_name_its_request_and_its_generation(
    client: Client, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    posted = await ask(client, "[[fault=401]]")
    await worker.attempts.run(posted.generation_id)
    (failed,) = logged(caplog, "answer_failed")
    (request,) = [line for line in logged(caplog, "request") if line["path"].endswith("/messages")]
    assert ids(failed) == ids(request) == (TRACE_ID, str(posted.generation_id))


async def test_what_is_told_of_a_lost_worker_names_the_request_that_asked(
    client: Client, worker: Worker, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    posted = await ask(client, "[[tokens=12 fault=stall after=2 once=1]]")
    async with client.read(posted.stream_url) as stream:
        lost = asyncio.create_task(worker.attempts.run(posted.generation_id))
        async for event in stream.events():
            if event.part["type"] == "text-delta":
                break
        lost.cancel()
        await asyncio.wait([lost])
    execute(database_url, EXPIRE, posted.generation_id)
    await worker.sweep()
    (told,) = logged(caplog, "generation_lost")
    assert ids(told) == (TRACE_ID, str(posted.generation_id))


async def test_a_job_that_is_sent_again_carries_the_trace_of_its_request(
    client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    posted = await ask(client, "[[tokens=1]]")
    execute(database_url, AGE)
    await worker.sweep()
    assert noted.generations == [posted.generation_id]
    assert noted.traces == [read_traceparent(TRACEPARENT)]


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
async def test_a_traceparent_that_is_none_is_replaced(
    client: Client, database_url: str, traceparent: str, caplog: pytest.LogCaptureFixture
) -> None:
    posted = await ask(client, "[[tokens=1]]", traceparent)
    ((saved,),) = execute(database_url, "SELECT traceparent FROM generations WHERE id = %s", posted.generation_id)
    trace = read_traceparent(str(saved))
    assert trace is not None
    (request,) = [line for line in logged(caplog, "request") if line["path"].endswith("/messages")]
    assert ids(request) == (trace.trace_id, str(posted.generation_id))


async def test_what_an_earlier_release_accepted_is_answered_without_a_trace(
    client: Client, worker: Worker, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    posted = await post(client, "[[fault=401]]")
    execute(database_url, "UPDATE generations SET traceparent = NULL")
    await worker.attempts.run(posted.generation_id)
    (failed,) = logged(caplog, "answer_failed")
    assert "trace_id" not in failed


def lines(system: System, process: Process, generation_id: object) -> list[dict[str, Any]]:
    """What a process has logged about a generation."""
    told = [json.loads(line) for line in system.words(process).splitlines() if line.startswith("{")]
    return [line for line in told if line.get("generation_id") == str(generation_id)]


async def test_a_trace_outlives_the_worker_that_had_it(new_system: NewSystem) -> None:
    system = new_system(LEASE_SECONDS="3", SWEEP_INTERVAL_SECONDS="0.5")
    api, url = await system.start_api()
    first = await system.start_worker()
    async with logged_in(url) as client:
        posted = await ask(client, "[[tokens=12 fault=stall after=2]]")
        async with client.read(posted.stream_url) as stream:
            async for event in stream.events():
                if event.part["type"] == "text-delta":
                    break
        system.kill(first)
        execute(system.env["DATABASE_URL"], "UPDATE messages SET content = '[[fault=401]]' WHERE role = 'user'")
        second = await system.start_worker()
        await system.logged(second, "answer_failed")
    (request,) = [line for line in lines(system, api, posted.generation_id) if line.get("method") == "POST"]
    assert request["trace_id"] == TRACE_ID
    told = lines(system, second, posted.generation_id)
    assert {line["event"] for line in told} >= {"generation_lost", "answer_failed"}
    assert {line["trace_id"] for line in told} == {TRACE_ID}
