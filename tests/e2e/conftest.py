"""One system for all tests here: an API, two workers, the upkeep worker, beat."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from tests.clients import NO_TLS, Client
from tests.conftest import SECRET
from tests.e2e.system import System


@pytest.fixture(scope="session")
def new_system(
    make_database: Callable[[], str], groq_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], System]]:
    """Makes systems, each with a database and a Redis of its own. No process of theirs runs yet."""
    guard = Guard()
    systems: list[System] = []
    servers: list[EmbeddedValkey] = []

    def make() -> System:
        folder = tmp_path_factory.mktemp("system")
        servers.append(EmbeddedValkey(folder / "valkey"))
        servers[-1].start()
        env = {
            "DATABASE_URL": make_database(),
            "REDIS_URL": servers[-1].url,
            "JWT_SECRET_KEY": SECRET,
            "GROQ_API_KEY": "test",
            "GROQ_BASE_URL": groq_url,
            "GROQ_MODEL": "double",
            "BCRYPT_ROUNDS": "10",
            "USER_MAX_LIVE_GENERATIONS": "1000",
            "LEASE_SECONDS": "4",
            "WORKER_DRAIN_SECONDS": "1",
            "LOG_LEVEL": "info",
        }
        systems.append(System(env, folder, guard))
        return systems[-1]

    yield make
    for system in systems:
        system.kill_all()
    guard.close()
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
async def system(new_system: Callable[[], System]) -> System:
    """The shared system, all of it running."""
    made = new_system()
    await asyncio.gather(
        made.start_worker(), made.start_worker(), made.start_worker("summaries,upkeep"), made.start_worker("beat")
    )
    return made


@pytest.fixture(scope="session")
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
async def new_system_client(new_system: Callable[[], System]) -> AsyncIterator[tuple[System, Client]]:
    """A system of the test's own, of which only an API runs, and a logged-in user of it."""
    made = new_system()
    _, url = await made.start_api()
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=60) as http:
        client = Client(http)
        await client.sign_up()
        yield made, client
    made.kill_all()
