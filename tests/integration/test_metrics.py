"""What a scraper reads of the system's processes, and what a process does whose port is taken."""

import asyncio
import os
import sys
from asyncio import subprocess

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.program import free_port
from shared.database.engine import open_database
from shared.generations import recover
from shared.settings import Settings
from shared.telemetry.prometheus import PrometheusMetrics
from tests.conftest import SECRET, NewSystem
from tests.doubles import groq_control
from tests.support.clients import NO_TLS, Client, logged_in
from tests.support.system import eventually
from tests.support.turns import execute, post

AN_AGE = "UPDATE generations SET created_at = now() - interval '1 minute'"


def read(port: int) -> dict[str, float]:
    """Each series of a process with its value."""
    with httpx.Client(verify=NO_TLS, trust_env=False) as http:
        text = http.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_scraper_reads_what_answers_took_and_which_are_read(new_system: NewSystem, groq_url: str) -> None:
    system = new_system(SWEEP_INTERVAL_SECONDS="0.2")
    of_api, of_worker = free_port(), free_port()
    api_process, url = await system.start_api(METRICS_PORT=str(of_api))
    worker_process = await system.start_worker(METRICS_PORT=str(of_worker))
    async with logged_in(url) as client:
        async with client.post(await client.new_chat(), "[[tokens=5 after=2 hold=metrics]]") as stream:
            events = stream.events()  # what is not referred to is closed
            async for event in events:
                if event.part["type"] == "text-delta":
                    break
            assert (await asyncio.to_thread(read, of_api))["cortexai_open_streams"] == 1
            chat_id = int((await client.http.get("/api/chats")).json()[0]["id"])
            await client.http.post(f"/api/chats/{chat_id}/stop")
        await groq_control.release(groq_url, "metrics")
        async with client.post(await client.new_chat(), "[[tokens=5]]") as stream:
            await stream.all()
    await eventually(lambda: 'cortexai_generations_total{outcome="completed"}' in read(of_worker))
    worker, api = await asyncio.to_thread(read, of_worker), await asyncio.to_thread(read, of_api)
    assert api['cortexai_generations_total{outcome="cancelled"}'] == 1
    assert api["cortexai_open_streams"] == 0
    assert worker['cortexai_generations_total{outcome="completed"}'] == 1
    assert worker["cortexai_time_to_first_token_seconds_count"] == 2
    assert 0 < worker["cortexai_time_to_first_token_seconds_sum"] < 40
    assert worker['cortexai_tokens_total{kind="completion",model="double"}'] >= 5
    assert 0 <= worker["cortexai_queue_age_seconds"] < 5
    assert [await system.stop(process) for process in (api_process, worker_process)] == [0, 0]


async def test_the_queues_age_is_that_of_its_oldest_generation(
    client: Client, settings: Settings, database_url: str
) -> None:
    database = open_database(settings.database_url, pool_size=1)
    assert await recover.oldest_queued(database) == 0
    await post(client, "[[tokens=1]]")
    execute(database_url, AN_AGE)
    await post(client, "[[tokens=1]]")
    assert 60 <= await recover.oldest_queued(database) < 90
    await database.dispose()


@pytest.mark.parametrize("arguments", [["services.api"], ["services.worker", "generations"]])
async def test_a_process_whose_metrics_port_is_taken_says_so_and_ends(
    arguments: list[str], valkey: EmbeddedValkey, database_url: str
) -> None:
    port = free_port()
    other = PrometheusMetrics()
    other.serve("127.0.0.1", port)
    env = {"DATABASE_URL": database_url, "REDIS_URL": valkey.url, "JWT_SECRET_KEY": SECRET, "GROQ_API_KEY": "test"}
    process = await subprocess.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        env={**os.environ, **env, "PORT": "0", "METRICS_PORT": str(port)},
        stderr=subprocess.PIPE,
    )
    _, told = await process.communicate()
    other.close()
    assert process.returncode == 2
    assert f"METRICS_PORT: can't listen on 127.0.0.1, port {port}: Address already in use" in told.decode()
