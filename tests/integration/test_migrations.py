"""Alembic owns the schema."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
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


def test_all_timestamps_know_their_time_zone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        naive = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'timestamp without time zone'"
        ).fetchall()
    assert naive == []


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows}
