"""Is it alive, can it serve: asked of an API whose parts are taken away."""

from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from alembic import command

from migrations import HEAD
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import alembic_config, settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS

NOBODY = "http://127.0.0.1:1"
READY = {"database": "ok", "migrations": "ok", "streams": "ok"}


async def get(url: str, path: str) -> httpx.Response:
    """Ask."""
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http:
        return await http.get(path)


async def test_the_root_says_who_this_is(database_url: str, valkey: EmbeddedValkey) -> None:
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as api:
        assert (await get(api, "/")).json() == {"name": "CortexAI", "version": "0.1.0"}


async def test_with_all_parts_it_is_ready(database_url: str, valkey: EmbeddedValkey) -> None:
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as api:
        response = await get(api, "/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": READY})


async def test_it_is_alive_with_nothing_to_serve_from(tmp_path: Path) -> None:
    settings = settings_for("postgresql://x:x@127.0.0.1:1/x", "redis://127.0.0.1:1/0", NOBODY)
    async with serve(settings) as api:
        assert (await get(api, "/livez")).json() == {"status": "ok"}
        assert (await get(api, "/")).status_code == 200
        response = await get(api, "/readyz")
        assert response.status_code == 503
        assert response.json()["status"] == "unavailable"
        assert "ok" not in response.json()["checks"].values()


@pytest.mark.parametrize("revision", ["0000", None])
async def test_a_schema_that_is_too_old_is_not_ready(
    database_url: str, valkey: EmbeddedValkey, revision: str | None
) -> None:
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as api:
        with psycopg.connect(database_url) as connection:
            connection.execute("DELETE FROM alembic_version")
            if revision:
                connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
        response = await get(api, "/readyz")
        assert response.status_code == 503
        checks = response.json()["checks"]
        assert checks == {**READY, "migrations": f"at {revision}, needs {HEAD}"}


async def test_a_schema_that_is_newer_than_the_code_is_ready(database_url: str, valkey: EmbeddedValkey) -> None:
    async with serve(settings_for(database_url, valkey.url, NOBODY)) as api:
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert (await get(api, "/readyz")).status_code == 200


async def test_a_database_that_was_never_migrated_is_not_ready(
    postgres: EmbeddedPostgres, make_database: Callable[[], str], valkey: EmbeddedValkey
) -> None:
    url = make_database()
    command.downgrade(alembic_config(url), "base")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE alembic_version")
    async with serve(settings_for(url, valkey.url, NOBODY)) as api:
        response = await get(api, "/readyz")
        assert response.status_code == 503
        assert response.json()["checks"]["migrations"] != "ok"


async def test_a_stream_log_that_is_away_is_not_ready_and_then_it_is(database_url: str, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "valkey", appendonly=False) as server:
        async with serve(settings_for(database_url, server.url, NOBODY)) as api:
            assert (await get(api, "/readyz")).status_code == 200
            server.kill()
            response = await get(api, "/readyz")
            assert response.status_code == 503
            assert response.json()["checks"] == {**READY, "streams": "StreamsUnavailable"}
            server.start()
            assert (await get(api, "/readyz")).status_code == 200


async def test_a_database_that_is_away_is_not_ready_and_then_it_is(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        command.upgrade(alembic_config(server.url), "head")
        async with serve(settings_for(server.url, valkey.url, NOBODY)) as api:
            assert (await get(api, "/readyz")).status_code == 200
            server.kill()
            response = await get(api, "/readyz")
            assert response.status_code == 503
            checks = response.json()["checks"]
            assert checks["streams"] == "ok"
            assert "ok" not in (checks["database"], checks["migrations"])
            assert server.password not in response.text
            server.start()
            assert (await get(api, "/readyz")).status_code == 200
