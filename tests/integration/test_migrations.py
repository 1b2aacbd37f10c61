"""Alembic owns the schema."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import create_engine

import migrations
from shared.database.tables import Base
from tests.conftest import alembic_config


def test_models_and_migrations_agree(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_revision_that_the_code_asks_for_is_the_newest() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD
    assert all(script.revision.isdecimal() and len(script.revision) == 4 for script in scripts.walk_revisions())


def test_downgrading_to_the_base_leaves_nothing_and_upgrading_again_works(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    assert tables(database_url) == {"alembic_version"}
    command.upgrade(config, "head")
    assert tables(database_url) >= {"users", "chats", "messages", "generations"}


@pytest.mark.parametrize(("before", "locked"), [("0007", "chats"), ("0008", "users"), ("0012", "messages")])
def test_a_migration_waits_a_moment_for_a_locked_table_and_goes_on_another_time(
    database_url: str, before: str, locked: str
) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, before)
    config.attributes.update(lock_ms=50, lock_tries=1)
    with psycopg.connect(database_url) as reader:
        reader.execute(read(locked))
        with pytest.raises(CommandError, match="a table stayed locked"):
            command.upgrade(config, "head")
        assert revision_of(database_url) == before
    command.upgrade(config, "head")
    assert revision_of(database_url) == migrations.HEAD


@pytest.mark.parametrize(
    ("before", "revision", "waited_for"), [("0008", "0009", "users"), ("0012", "0013", "messages")]
)
def test_a_migration_that_waits_for_one_table_keeps_nobody_from_another(
    database_url: str, before: str, revision: str, waited_for: str
) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, before)
    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as request:
        request.execute(read(waited_for))
        migrated = pool.submit(command.upgrade, config, revision)
        _wait_for_a_waiter(database_url)
        request.execute("SET LOCAL lock_timeout = '200ms'")
        request.execute("SELECT count(*) FROM chats")
        request.commit()
        migrated.result(timeout=30)
    assert revision_of(database_url) == revision


def test_a_migration_that_a_deadlock_ended_is_tried_another_time(database_url: str) -> None:
    """A table with foreign keys locks several in one statement."""
    config = alembic_config(f"{database_url}?options=-cdeadlock_timeout%3D50ms")
    command.downgrade(config, "0008")
    config.attributes.update(lock_ms=10_000, lock_tries=1)
    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as request:
        request.execute("SET deadlock_timeout = '1min'")  # so that the migration is ended, not this
        request.execute("LOCK messages IN ROW EXCLUSIVE MODE")
        migrated = pool.submit(command.upgrade, config, "0009")
        _wait_for_a_waiter(database_url)
        request.execute("LOCK chats IN ROW EXCLUSIVE MODE")
        request.commit()
        with pytest.raises(CommandError, match="a table stayed locked"):
            migrated.result(timeout=30)
    config.attributes.update(lock_tries=2)
    command.upgrade(config, "head")
    test_models_and_migrations_agree(database_url)


def _wait_for_a_waiter(url: str) -> None:
    """Ask until one of the database's sessions waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as other:
        until = time.monotonic() + 20
        while other.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < until


@pytest.mark.parametrize(
    ("before", "revision"),
    [
        ("0004", "0005"),
        ("0007", "0008"),
        ("0008", "0009"),
        ("0009", "0010"),
        ("0010", "0011"),
        ("0011", "0012"),
        ("0012", "0013"),
        ("0013", "0014"),
        ("0014", "0016"),
        ("0016", "0017"),
        ("0017", "0018"),
        ("0019", "0020"),
        ("0020", "0021"),
        ("0021", "0022"),
        ("0022", "0023"),
        ("0023", "0024"),
        ("0024", "0025"),
        ("0025", "0026"),
        ("0026", "0027"),
    ],
)
def test_a_migration_that_broke_off_behind_its_transaction_can_be_done_again(
    database_url: str, before: str, revision: str
) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, before)
    command.upgrade(config, revision)
    command.stamp(config, before)
    command.upgrade(config, "head")
    with psycopg.connect(database_url) as connection:
        unusable = connection.execute(
            "SELECT conname::text FROM pg_constraint WHERE NOT convalidated"
            " UNION SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        ).fetchall()
    assert unusable == []
    test_models_and_migrations_agree(database_url)


def test_a_downgrade_leaves_what_is_active_since_the_release_before_would_tell_all_of_it(database_url: str) -> None:
    config = alembic_config(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO users (email, password_hash) VALUES ('a', 'x')")
        connection.execute("INSERT INTO chats (user_id, last_position) SELECT id, 3 FROM users")
        connection.execute(
            "INSERT INTO messages (chat_id, role, content, position, status, replaced, parent_position)"
            " SELECT id, 'user', n::text, n, 'completed', n = 2, CASE n WHEN 2 THEN 1 END"
            " FROM chats, generate_series(1, 3) AS n"
        )
    command.downgrade(config, "0011")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT array_agg(content ORDER BY position) FROM messages").fetchone() == (
            ["1", "3"],
        )


def test_a_downgrade_locks_nobody_out_who_has_no_password(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "0024")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO users (email, password_hash) VALUES ('a', NULL), ('b', 'x')")
        connection.execute("INSERT INTO oidc_identities (user_id, issuer, subject) SELECT id, 'i', email FROM users")
    with pytest.raises(CommandError, match=r"^1 accounts have no password.*docs/operations\.md"):
        command.downgrade(config, "0023")
    assert revision_of(database_url) == "0024"
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM oidc_identities").fetchone() == (2,)
        assert connection.execute("SELECT password_hash FROM users ORDER BY email").fetchall() == [(None,), ("x",)]
        connection.execute("UPDATE users SET password_hash = '!' WHERE password_hash IS NULL")
    command.downgrade(config, "0023")
    command.upgrade(config, "head")


def test_the_person_of_a_session_from_before_has_proved_the_password_when_it_began(database_url: str) -> None:
    """And not at the time of the migration, which would let everybody do for a while what needs a proof."""
    config = alembic_config(database_url)
    command.downgrade(config, "0017")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO users (email, password_hash) VALUES ('a', 'x')")
        connection.execute(
            "INSERT INTO sessions (user_id, token_hash, created_at, expires_at)"
            " SELECT id, 'x', now() - interval '1 day', now() + interval '1 day' FROM users"
        )
    command.upgrade(config, "head")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT authenticated_at < created_at FROM sessions").fetchone() == (True,)


def test_all_timestamps_know_their_time_zone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        naive = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'timestamp without time zone'"
        ).fetchall()
    assert naive == []


def read(table: str) -> sql.Composed:
    """Read a table, which locks it for those who would change its shape."""
    return sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))


def revision_of(url: str) -> object:
    with psycopg.connect(url) as connection:
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return revision


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows}
