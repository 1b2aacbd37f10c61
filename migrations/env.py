"""Alembic's environment. The database is the config's attribute `database_url`, else the setting DATABASE_URL."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from shared.database.engine import connect_arguments
from shared.database.tables import Base
from shared.settings import DatabaseSettings

LOCK = 0x636F7274_65786169  # "cortexai": two migrations at once wait for each other


def run() -> None:
    """Run the migrations that the command asks for, in one transaction, under an advisory lock."""
    url = context.config.attributes.get("database_url") or DatabaseSettings.load().database_url
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=connect_arguments(url))
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            context.run_migrations()
    engine.dispose()


run()
