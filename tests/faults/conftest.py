"""Each test breaks a system of its own: nothing that it does to a server or a process can reach another test."""

from collections.abc import AsyncIterator, Iterator

import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.conftest import NewSystem
from tests.support.interrupted import Stage, open_stage
from tests.support.readers import User, user_of
from tests.support.system import System


@pytest.fixture
def system(new_system: NewSystem) -> Iterator[System]:
    """A system whose leases are as short as they may be. None of its processes runs yet."""
    made = new_system(LEASE_SECONDS="3", SWEEP_INTERVAL_SECONDS="0.5")
    yield made
    made.end()


@pytest.fixture
async def user(system: System) -> AsyncIterator[User]:
    """A user of the system's only API."""
    _, url = await system.start_api()
    async with user_of(url) as made:
        yield made


@pytest.fixture
async def stage(new_system: NewSystem, postgres: EmbeddedPostgres, groq_url: str) -> AsyncIterator[Stage]:
    """A system whose database has gates, and a user with a sandbox."""
    sandboxes = postgres.url_of("sandbox")
    system = new_system(
        LEASE_SECONDS="3",
        SWEEP_INTERVAL_SECONDS="0.5",
        DATA_SOURCE_KEYS=Fernet.generate_key().decode(),
        SANDBOX_DATABASE_URL=sandboxes,
    )
    async with open_stage(system, groq_url, sandboxes) as made:
        yield made
    system.end()
