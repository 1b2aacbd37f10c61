import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from services.launcher import migrations
from services.launcher.cli import run
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.errors import MigrationFailed
from shared.errors import SettingsInvalid


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> str:
    """The URL of a database that was never migrated."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY wal_log").format(sql.Identifier(name)))
    return postgres.url_of(name).replace("postgresql://", "postgresql+psycopg://")


def test_an_empty_database_gets_the_newest_schema_and_again_changes_nothing(empty: str) -> None:
    assert migrations.current(empty) is None
    revision = migrations.migrate(empty)
    assert migrations.current(empty) == revision == migrations.head(empty)
    assert migrations.migrate(empty) == revision


def test_two_at_once_do_no_harm(empty: str) -> None:
    command = [sys.executable, "-P", "-m", "services.launcher.cli", "migrate"]
    both = [
        subprocess.Popen(
            command, env={"DATABASE_URL": empty}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    expected = f"the database is at revision {migrations.head(empty)}\n"
    assert [process.communicate(timeout=60) for process in both] == [(expected, "")] * 2


def test_the_command_says_one_line(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty)
    assert run(["migrate"]) == 0
    assert capsys.readouterr().out == f"the database is at revision {migrations.head(empty)}\n"


def test_it_waits_for_a_database_that_is_still_starting(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    waited = threading.Event()

    def start() -> None:
        server.prepare()
        waited.set()
        server.start()

    starting = threading.Thread(target=start)
    starting.start()
    try:
        assert waited.wait(60)
        migrations.await_database(server.url, 30)
    finally:
        starting.join()
        server.stop()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda url: url.replace("cortexai:", "cortexai:not"), "password authentication failed"),
        (lambda url: f"{url}_gone", "does not exist"),
    ],
)
def test_a_refusal_is_told_at_once(postgres: EmbeddedPostgres, spoil: Callable[[str], str], reason: str) -> None:
    with pytest.raises(MigrationFailed, match=reason):
        migrations.migrate(spoil(postgres.url))


def test_a_database_that_never_answers_is_given_up() -> None:
    with pytest.raises(MigrationFailed, match=r"DATABASE_URL: the database can't be reached: .*refused"):
        migrations.await_database("postgresql://127.0.0.1:1/none", 0.3)


def test_a_url_that_can_not_be_read_is_not_shown() -> None:
    with pytest.raises(SettingsInvalid, match="is not a usable URL") as refused:
        migrations.migrate("postgresql+psycopg://u:hunter2%zz@h/d")
    assert "hunter2" not in refused.value.message
