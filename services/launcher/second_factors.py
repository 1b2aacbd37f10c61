"""`cortexai accounts reset-second-factor`: for a person who has lost the phone and the recovery codes.

The person logs in by the password alone then. So the operator makes sure first who asks.
"""

from typing import Final

import psycopg

from services.launcher.acts import note
from services.launcher.databases import connect
from services.launcher.errors import AccountUnknown, DatabaseFailed
from services.launcher.migrations import first_line
from shared.accounts.addresses import IS_SAME_MAILBOX

# A login that was checked before begins no session after this.
_FIND: Final = (
    "UPDATE users SET credentials_version = credentials_version + 1"  # noqa: S608 - a text of ours
    f" WHERE {IS_SAME_MAILBOX} RETURNING id"
)
_RESET: Final = (
    "INSERT INTO account_mails (kind, user_id, address) SELECT 'second_factor_off', id, email FROM users WHERE id = %s",
    "DELETE FROM second_factors WHERE user_id = %s",
    "DELETE FROM recovery_codes WHERE user_id = %s",
)
_END: Final = "DELETE FROM sessions WHERE user_id = %s"


def reset_second_factor(database_url: str, email: str) -> int:
    """Take the second factor and the recovery codes from an account, and end its sessions. Returns how many these were.

    The owner is told by mail.

    Raises:
        AccountUnknown: no account has this address.
        SettingsInvalid: the URL is unusable.
        DatabaseFailed: the database does not answer, or refuses.

    """
    try:
        with connect(database_url) as connection:
            row = connection.execute(_FIND, {"email": email}).fetchone()
            if row is None:
                raise AccountUnknown(f"no account has the address {email}")
            for statement in _RESET:
                connection.execute(statement, row)
            ended = connection.execute(_END, row).rowcount
            note(connection, "second_factor.reset", row[0], sessions=ended)
            return ended
    except psycopg.Error as error:
        raise DatabaseFailed(f"DATABASE_URL: {first_line(error)}") from error
