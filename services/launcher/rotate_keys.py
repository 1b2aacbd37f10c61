"""`cortexai rotate-keys`: encrypts anew what is under older keys, so that these can be taken out of DATA_SOURCE_KEYS."""

from typing import Final

import psycopg
from psycopg import sql

from services.launcher.databases import connect
from services.launcher.errors import DatabaseFailed
from services.launcher.migrations import first_line
from shared.data_sources.encryption import Keyring
from shared.errors import DataSourceKeyMissing, SettingsInvalid
from shared.settings import DatabaseSettings

BATCH: Final = 100
"""How many rows are found at a time. Their values are read one by one: images may have megabytes."""
COLUMNS: Final = (
    ("data_sources", "reader_url"),
    ("data_sources", "writer_url"),
    ("operations", "before_images"),
    ("second_factors", "totp_secret"),
)
_FIND: Final = "SELECT id FROM {table} WHERE substr({column}, 1, %s) <> %s AND {later} ORDER BY id LIMIT %s"
_READ: Final = "SELECT {column} FROM {table} WHERE id = %s AND {column} IS NOT NULL"
_RENEW: Final = "UPDATE {table} SET {column} = %s WHERE id = %s AND {column} = %s"


def rotate_keys(settings: DatabaseSettings) -> int:
    """Encrypt by the first key all that is not. May be broken off and repeated, while the system runs. Returns how many values.

    Raises:
        SettingsInvalid: there are no keys, one is missing, or the URL is unusable.
        DatabaseFailed: the database does not answer, or refuses.

    """
    if not settings.data_source_keys:
        raise SettingsInvalid("DATA_SOURCE_KEYS: is not set")
    keyring = Keyring([key.get_secret_value() for key in settings.data_source_keys])
    try:
        with connect(settings.database_url, autocommit=True) as connection:
            return sum(_renew(connection, keyring, table, column) for table, column in COLUMNS)
    except DataSourceKeyMissing as error:
        raise SettingsInvalid("DATA_SOURCE_KEYS: a key is missing that something is encrypted with") from error
    except psycopg.Error as error:
        raise DatabaseFailed(f"DATABASE_URL: {first_line(error)}") from error


def _renew(connection: psycopg.Connection, keyring: Keyring, table: str, column: str) -> int:
    names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    renewed, last = 0, None
    fingerprint = keyring.fingerprint
    while True:
        # By id, so that no batch looks at what is renewed already.
        later = sql.SQL("TRUE") if last is None else sql.SQL("id > {}").format(last)
        find = sql.SQL(_FIND).format(**names, later=later)
        found = connection.execute(find, [len(fingerprint), fingerprint, BATCH]).fetchall()
        if not found:
            return renewed
        for (row_id,) in found:
            renewed += _renew_one(connection, keyring, names, row_id)
        last = found[-1][0]


def _renew_one(
    connection: psycopg.Connection, keyring: Keyring, names: dict[str, sql.Identifier], row_id: object
) -> int:
    row = connection.execute(sql.SQL(_READ).format(**names), [row_id]).fetchone()
    if row is None:
        return 0  # gone meanwhile
    (stored,) = row
    return connection.execute(sql.SQL(_RENEW).format(**names), [keyring.renew(stored), row_id, stored]).rowcount
