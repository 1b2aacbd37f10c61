"""Whatever a process of ours writes in its life is JSON, a line an object."""

import asyncio
import http.client
import json

import httpx

from services.launcher.program import free_port
from tests.conftest import NewSystem
from tests.support.clients import logged_in, numbered, text_of
from tests.support.system import System, eventually

PASSWORD = "ops:let me in"


def events_of(system: System) -> dict[str, list[dict[str, object]]]:
    """What each process has written, by its service."""
    found: dict[str, list[dict[str, object]]] = {}
    for process in system.running:
        for line in system.words(process).splitlines():
            event = json.loads(line)
            assert isinstance(event, dict)
            found.setdefault(event["service"], []).append(event)
    return found


async def test_all_output_is_json_from_migration_to_stop(new_system: NewSystem) -> None:
    system = new_system(FLOWER_BASIC_AUTH=PASSWORD, TITLE_BY_MODEL="true")
    system.forks = None  # what is written while modules are imported counts too
    migration = system.start(["services.launcher.cli", "migrate", "--log"])
    assert await asyncio.to_thread(migration.wait, 60) == 0
    port = free_port()
    flower = system.start(["services.worker", "flower"], FLOWER_PORT=str(port))
    roles = ("generations", "summaries,maintenance", "beat")
    starting = asyncio.gather(*map(system.start_worker, roles))
    api, url = await system.start_api()
    workers = await starting
    await eventually(lambda: status(port, "/healthcheck") == http.client.OK)
    async with logged_in(url) as client:
        async with client.post(await client.new_chat(), "[[tokens=5]]") as stream:
            assert text_of(await stream.all()) == numbered(5)
        await asyncio.to_thread(system.valkey.kill)
        await system.logged(api, "hub_connection_lost")
        await asyncio.to_thread(system.valkey.start)
        async with client.post(await client.new_chat(), "[[tokens=5]]") as stream:
            assert text_of(await stream.all()) == numbered(5)
    for process in (api, flower, *workers):
        assert await system.stop(process) == 0
    events = events_of(system)
    assert events.keys() == {"migrate", "api"} | {
        f"worker:{role}" for role in ("generations", "summaries,maintenance", "beat", "flower")
    }
    told = {str(event["event"]) for all_of_one in events.values() for event in all_of_one}
    assert "worker: Warm shutdown (MainProcess)" in told, "Celery writes its last words past Python's streams"
    assert "uncaught_error" not in told


async def test_flower_asks_for_its_password(new_system: NewSystem) -> None:
    system = new_system(FLOWER_BASIC_AUTH=PASSWORD)
    port = free_port()
    system.start(["services.worker", "flower"], FLOWER_PORT=str(port))
    await eventually(lambda: status(port, "/healthcheck") == http.client.OK)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http_client:
        assert (await http_client.get("/workers")).status_code == httpx.codes.UNAUTHORIZED
        assert (await http_client.get("/workers", auth=("ops", "wrong"))).status_code == httpx.codes.UNAUTHORIZED
        assert (await http_client.get("/workers", auth=("ops", "let me in"))).status_code == httpx.codes.OK


def status(port: int, path: str) -> int:
    """The status of an answer; 0 without one."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code
    except httpx.TransportError:
        return 0
