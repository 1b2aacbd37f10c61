"""Takes the database to the newest schema: `cortexai migrate`."""

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import SQLAlchemyError

from services.launcher.databases import connect
from services.launcher.errors import MigrationFailed
from services.launcher.roles import prepare_servers
from shared.database.engine import connect_arguments
from shared.database_server import will_refuse
from shared.errors import SettingsInvalid
from shared.settings import DatabaseSettings
from shared.telemetry import capture
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WAIT_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2


def configuration(database_url: str) -> Config:
    """Alembic's configuration for this product's migrations, wherever they are installed."""
    spec = find_spec("migrations")
    if spec is None or spec.origin is None:
        raise MigrationFailed("the package `migrations` is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str, *, wait_seconds: float = WAIT_SECONDS, setting: str = "DATABASE_URL") -> str:
    """Wait for the database to come up, then upgrade it. Returns the revision. Two at once wait for each other.

    Raises:
        SettingsInvalid: the URL is unusable.
        MigrationFailed: it does not answer in time, refuses, or a migration fails.

    """
    await_database(database_url, wait_seconds, setting)
    try:
        command.upgrade(configuration(database_url), "head")
    except (SQLAlchemyError, CommandError) as error:
        raise MigrationFailed(f"the migration failed: {first_line(error)}") from error
    return head(database_url)


def migrate_all(settings: DatabaseSettings) -> str:
    """Upgrade the database, then make the roles and the database for sandboxes that the settings name. Returns the revision.

    Raises:
        SettingsInvalid, MigrationFailed: see `migrate`.

    """
    setting = "DATABASE_URL" if settings.migration_database_url is None else "MIGRATION_DATABASE_URL"
    revision = migrate(settings.migration_url, setting=setting)
    prepare_servers(settings)
    return revision


def migrate_and_log() -> int:
    """Migrate as a service of a deployment. Returns the exit code; what there is to tell is in the log."""
    capture.log_everything("migrate")
    try:
        revision = migrate_all(DatabaseSettings.load())
    except SettingsInvalid as error:
        log.critical("settings_invalid", error=error.message)
        return 2
    except MigrationFailed as error:
        log.critical("migration_failed", error=error.message)
        return error.exit_code
    log.info("migrated", revision=revision)
    return 0


def await_database(database_url: str, seconds: float, setting: str = "DATABASE_URL") -> None:
    """Return once the database accepts a connection. One that refuses is not waited for.

    Raises:
        SettingsInvalid: the URL is unusable.
        MigrationFailed: it refuses, or does not answer in time.

    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connect(database_url, setting).close()
        except psycopg.Error as error:
            reason = first_line(error)
            if will_refuse(str(error)) or time.monotonic() > deadline:
                raise MigrationFailed(f"{setting}: the database can't be reached: {reason}") from error
            time.sleep(POLL_SECONDS)
        else:
            return


def head(database_url: str) -> str:
    """The newest revision of this code."""
    return str(ScriptDirectory.from_config(configuration(database_url)).get_current_head())


def current(database_url: str) -> str | None:
    """The database's revision; None when it was never migrated.

    Raises:
        SQLAlchemyError: it can't be reached.

    """
    engine = create_engine(database_url, poolclass=pool.NullPool, connect_args=connect_arguments(database_url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def first_line(error: BaseException) -> str:
    """What an error says first, without the SQL that may follow."""
    original = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(original).splitlines() if line.strip()]
    return lines[0] if lines else type(original).__name__
