"""One system for all tests here: an API, two workers, the worker for summaries and maintenance, beat."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import NewSystem, Systems
from tests.support.clients import NO_TLS, Client
from tests.support.system import System


@pytest.fixture(scope="package")
async def system(systems: Systems) -> AsyncIterator[System]:
    """The shared system, all of it running, and started as an operator starts it."""
    with systems() as new_system:
        made = new_system(TITLE_BY_MODEL="true")
        made.forks = None
        await asyncio.gather(
            *(made.start_worker(queues) for queues in ("generations", "generations", "summaries,maintenance", "beat"))
        )
        yield made


@pytest.fixture(scope="package")
async def api_url(system: System) -> str:
    """The shared system's API."""
    _, url = await system.start_api()
    return url


@pytest.fixture
async def client(api_url: str) -> AsyncIterator[Client]:
    """A logged-in user of the shared system."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=api_url, verify=NO_TLS, timeout=60, limits=limits) as http:
        made = Client(http)
        await made.sign_up()
        yield made


@pytest.fixture
async def new_system_client(new_system: NewSystem) -> AsyncIterator[tuple[System, Client]]:
    """A system of the test's own, of which only an API runs, and a logged-in user of it."""
    made = new_system()
    _, url = await made.start_api()
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=60) as http:
        client = Client(http)
        await client.sign_up()
        yield made, client
    made.kill_all()
