"""The database that a command of the operator's is about, and a connection to it."""

from pathlib import Path

import psycopg

from services.launcher.configuration import Given
from services.launcher.data_dir import read_running
from shared.database.engine import connect_arguments
from shared.database_urls import to_libpq
from shared.errors import SettingsInvalid
from shared.settings import DatabaseSettings


def settings_of(directory: Path) -> DatabaseSettings:
    """The settings of the database that DATABASE_URL names, or else of the system that runs on this folder.

    Raises:
        SettingsInvalid: there is neither, or a setting is unusable.

    """
    given = Given()
    if given.database_url is not None:
        return DatabaseSettings.load()
    found = read_running(directory)
    if found is None:
        raise SettingsInvalid(f"DATABASE_URL: is not set, and no `cortexai up` runs on {directory}")
    from services.launcher.doctor import addresses_of  # noqa: PLC0415 - an image without embedded servers has it not

    return DatabaseSettings.load(database_url=addresses_of(directory, given, found).database_url)


def connect(database_url: str, setting: str = "DATABASE_URL", *, autocommit: bool = False) -> psycopg.Connection:
    """A connection.

    Raises:
        SettingsInvalid: the URL is unusable. The driver's message would quote it with its password.
        psycopg.Error: the server does not answer, or refuses.

    """
    try:
        return psycopg.connect(to_libpq(database_url), autocommit=autocommit, **connect_arguments(database_url))
    except psycopg.ProgrammingError:
        raise SettingsInvalid(f"{setting}: is not a usable URL") from None
