"""Sandboxes without a row are dropped by the sweep; keys are changed by a command."""

import asyncio
import subprocess
import sys

import psycopg
from cryptography.fernet import Fernet
from sqlalchemy import insert

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.rotate_keys import BATCH
from services.worker.leftover_sandboxes import LeftoverSandboxes
from shared.data_sources.encryption import Keyring
from shared.data_sources.limits import Limits
from shared.data_sources.sandbox.sandbox import find_sandboxes, make, new_sandbox
from shared.data_sources.sandbox.server import prepare
from shared.database.engine import Database, open_database
from shared.database.identity import identify
from shared.database.tables import DataSource, User
from shared.ids import UserId
from shared.settings import Settings


async def add_user(database: Database) -> UserId:
    async with database.connect() as db:
        statement = insert(User).values(email="ada@example.com", password_hash="x").returning(User.id)
        return UserId((await db.execute(statement)).scalar_one())


async def test_a_sandbox_goes_with_its_row_and_stays_with_it(settings: Settings, postgres: EmbeddedPostgres) -> None:
    url = postgres.url_of("sandbox")
    await prepare(url)
    database = open_database(settings.database_url, pool_size=1)
    try:
        deployment = await identify(database)
        user_id = await add_user(database)
        async with database.connect() as db:
            values = {"user_id": user_id, "name": "Sandbox", "kind": "sandbox", "reader_url": b""}
            kept = (await db.execute(insert(DataSource).values(values).returning(DataSource.id))).scalar_one()
        for source_id in (kept, kept + 1000):
            await make(url, new_sandbox(deployment, source_id), Limits())
        sweep = LeftoverSandboxes(database, url, every=0)
        await sweep.drop()
        assert list(await find_sandboxes(url, deployment)) == [kept]
        with psycopg.connect(settings.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("DELETE FROM users")  # as when the account is deleted
        await sweep.drop()
        assert await find_sandboxes(url, deployment) == {}
    finally:
        await database.dispose()


async def test_one_that_can_not_be_dropped_keeps_no_other(settings: Settings, postgres: EmbeddedPostgres) -> None:
    url = postgres.url_of("sandbox")
    await prepare(url)
    database = open_database(settings.database_url, pool_size=1)
    try:
        deployment = await identify(database)
        for source_id in (1, 2, 3):
            await make(url, new_sandbox(deployment, source_id), Limits())
        stuck = new_sandbox(deployment, 2).name
        with psycopg.connect(postgres.url, autocommit=True) as admin:  # what it has in another database is not found
            admin.execute(f"CREATE SCHEMA stuck AUTHORIZATION {stuck}_reader".encode())
            sweep = LeftoverSandboxes(database, url, every=0)
            await sweep.drop()
            assert await find_sandboxes(url, deployment) == {2: stuck}
            admin.execute("DROP SCHEMA stuck")
        await sweep.drop()
        assert await find_sandboxes(url, deployment) == {}
    finally:
        await database.dispose()


async def test_a_server_that_is_away_keeps_no_other_work_from_being_done(settings: Settings) -> None:
    database = open_database(settings.database_url, pool_size=1)
    try:
        await LeftoverSandboxes(database, "postgresql://u:p@127.0.0.1:1/sandbox").drop()
        await LeftoverSandboxes(database, None).drop()
    finally:
        await database.dispose()


def rotate(settings: Settings, keys: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "services.launcher.cli", "rotate-keys"]
    around = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "DATA_SOURCE_KEYS": keys}
    return subprocess.run(command, env=around, capture_output=True, text=True, check=False)


async def test_keys_are_changed_by_a_command(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    database = open_database(settings.database_url, pool_size=1)
    try:
        user_id = await add_user(database)
        before = Keyring([old])
        names = [f"Source {number}" for number in range(BATCH + 1)]
        async with database.connect() as db:
            for name in names:
                stored = before.encrypt(f"url of {name}", user_id, "reader_url")
                values = {"user_id": user_id, "name": name, "kind": "postgresql", "reader_url": stored}
                await db.execute(insert(DataSource).values(values))
        for keys, said in ((f"{new},{old}", f"{BATCH + 1} values"), (new, "0 values")):
            done = await asyncio.to_thread(rotate, settings, keys)
            assert done.stdout.startswith(said)
        with psycopg.connect(settings.database_url.replace("+psycopg", "")) as connection:
            rows = connection.execute("SELECT reader_url FROM data_sources ORDER BY id").fetchall()
        assert [Keyring([new]).decrypt(stored, user_id, "reader_url") for (stored,) in rows] == [
            f"url of {name}" for name in names
        ]
        refused = await asyncio.to_thread(rotate, settings, old)
        assert (refused.returncode, refused.stderr) == (
            2,
            "cortexai: DATA_SOURCE_KEYS: a key is missing that something is encrypted with\n",
        )
    finally:
        await database.dispose()
