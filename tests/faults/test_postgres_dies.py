"""PostgreSQL crashes, or can't be reached."""

import asyncio

import pytest
from alembic import command

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.conftest import NewSystem, alembic_config
from tests.doubles.proxy import proxy_to
from tests.support.readers import User, user_of
from tests.support.system import System, eventually


async def test_a_worker_without_its_database_stops_before_its_lease_ends_and_works_again_when_it_is_back(
    system: System, user: User
) -> None:
    async with proxy_to(system.env["DATABASE_URL"]) as proxy:
        cut_off = await system.start_worker(DATABASE_URL=proxy.url)
        reader = await user.ask(tokens=120, rate=20)
        await reader.said(10)
        successor = await system.start_worker()
        proxy.freeze()
        await system.logged(cut_off, "lease_not_renewed")
        # By its own clock, which starts before the database's: nobody has taken the generation over yet.
        assert system.ask("SELECT attempt, status, lease_expires_at > now() FROM generations") == [(1, "running", True)]
        await reader.attempted(2)
        await user.all_is_well()
        proxy.heal()
        assert await system.stop(successor) == 0
        await user.ask(tokens=5)
        await user.all_is_well()


async def test_answers_and_messages_go_on_though_postgresql_crashes(
    new_system: NewSystem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg-to-kill")) as server:
        command.upgrade(alembic_config(server.url), "head")
        system = new_system(DATABASE_URL=server.url, LEASE_SECONDS="3", SWEEP_INTERVAL_SECONDS="0.5")
        _, url = await system.start_api()
        await system.start_worker()
        async with user_of(url) as user:
            readers = await user.ask_many(6, tokens=100, rate=25)
            await asyncio.gather(*(reader.said(20) for reader in readers))
            await asyncio.to_thread(server.kill)
            asking = asyncio.create_task(user.ask_many(6, tokens=10))
            # With `refused`, that it was down is certain.
            await eventually(lambda: user.refused > 0)
            await asyncio.to_thread(server.start)
            await asking
            await user.all_is_well()
        assert system.count("generations") == 12
        system.end()
