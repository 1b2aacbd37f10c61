"""`cortexai accounts make-admin` and `remove-admin`: nobody becomes an admin by signing up, or by a route."""

from typing import Final, NamedTuple

import psycopg

from services.launcher.acts import note
from services.launcher.databases import connect
from services.launcher.errors import AccountDisabled, AccountUnknown, DatabaseFailed
from services.launcher.migrations import first_line
from shared.accounts.addresses import IS_SAME_MAILBOX

_FIND: Final = (
    "SELECT id, role, disabled_at IS NOT NULL, email_verified_at IS NOT NULL"  # noqa: S608 - a text of ours
    f" FROM users WHERE {IS_SAME_MAILBOX} FOR NO KEY UPDATE"
)
_SET: Final = "UPDATE users SET role = %s WHERE id = %s"
_COUNT: Final = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL"


class Found(NamedTuple):
    """The account that a command was for. `is_changed`: its role is another one now, and there are so many `admins`.

    `is_verified`: its user has shown to read mail at the address.
    """

    is_changed: bool
    is_verified: bool
    admins: int


def make_admin(database_url: str, email: str) -> Found:
    """Make a user an admin.

    Raises:
        AccountUnknown: no account has this address.
        AccountDisabled: an admin keeps this user out.
        SettingsInvalid: the URL is unusable.
        DatabaseFailed: the database does not answer, or refuses.

    """
    return _set_role(database_url, email, is_admin=True)


def remove_admin(database_url: str, email: str) -> Found:
    """Make an admin a user as any other.

    Raises:
        AccountUnknown, SettingsInvalid, DatabaseFailed: as `make_admin`.

    """
    return _set_role(database_url, email, is_admin=False)


def _set_role(database_url: str, email: str, *, is_admin: bool) -> Found:
    role = "admin" if is_admin else "user"
    try:
        with connect(database_url) as connection:
            row = connection.execute(_FIND, {"email": email}).fetchone()
            if row is None:
                raise AccountUnknown(f"no account has the address {email}")
            user_id, role_before, is_disabled, is_verified = row
            if is_admin and is_disabled:
                raise AccountDisabled(f"the account {email} is disabled; an admin has to enable it first")
            changes = role_before != role
            if changes:
                connection.execute(_SET, [role, user_id])
                note(connection, "admin.made" if is_admin else "admin.removed", user_id)
            ((admins,),) = connection.execute(_COUNT).fetchall()
            return Found(changes, is_verified, admins)
    except psycopg.Error as error:
        raise DatabaseFailed(f"DATABASE_URL: {first_line(error)}") from error
