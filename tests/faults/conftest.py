"""Each test breaks a system of its own: nothing that it does to a server or a process can reach another test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import NewSystem
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
