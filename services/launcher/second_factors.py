"""`cortexai accounts reset-second-factor`: for a person who has lost the phone and the recovery codes.

The person logs in by the password alone then. So the operator makes sure first who asks.
"""

from typing import Final

import psycopg

from services.launcher.errors import AccountUnknown, MigrationFailed
from services.launcher.migrations import first_line
from shared.database.engine import connect_arguments
from shared.database_urls import to_libpq

_FIND: Final = "SELECT id FROM users WHERE lower(email) = lower(%s) FOR NO KEY UPDATE"
_RESET: Final = (
    "DELETE FROM second_factors WHERE user_id = %s",
    "DELETE FROM recovery_codes WHERE user_id = %s",
)
_END: Final = "DELETE FROM sessions WHERE user_id = %s"


def reset_second_factor(database_url: str, email: str) -> int:
    """Take the second factor and the recovery codes from an account, and end its sessions. Returns how many these were.

    Raises:
        AccountUnknown: no account has this address.
        MigrationFailed: the database does not answer, or refuses.

    """
    try:
        with psycopg.connect(to_libpq(database_url), **connect_arguments(database_url)) as connection:
            row = connection.execute(_FIND, [email]).fetchone()
            if row is None:
                raise AccountUnknown(f"no account has the address {email}")
            for statement in _RESET:
                connection.execute(statement, row)
            return connection.execute(_END, row).rowcount
    except psycopg.Error as error:
        raise MigrationFailed(f"DATABASE_URL: {first_line(error)}") from error
