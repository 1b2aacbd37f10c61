"""A worker and an API are killed between a proposal and its outcome. `bench/agent.py` does so hundreds of times."""

from collections.abc import AsyncIterator

import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.conftest import NewSystem
from tests.support.interrupted import Episode, Stage, open_stage

EPISODES = [
    Episode("committed", "proposing", "worker"),
    Episode("committed", "deciding", "api", is_severed=True),
    Episode("committed", "ending", "worker", is_severed=True),
    Episode("stale", "telling", "worker"),
]


@pytest.fixture
async def stage(new_system: NewSystem, postgres: EmbeddedPostgres, groq_url: str) -> AsyncIterator[Stage]:
    """A system of the test's own, and a user with a sandbox."""
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


async def test_a_change_is_made_once_and_told_in_one_stream_whoever_dies_when(stage: Stage) -> None:
    played = {episode: await stage.play(episode) for episode in EPISODES}
    assert played == dict.fromkeys(EPISODES, "once")
    assert stage.kills == len(EPISODES)
