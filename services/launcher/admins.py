"""`cortexai accounts make-admin` and `remove-admin`: nobody becomes an admin by signing up, or by a route."""

from typing import Final

import psycopg

from services.launcher.acts import note
from services.launcher.databases import connect
from services.launcher.errors import AccountDisabled, AccountUnknown, DatabaseFailed
from services.launcher.migrations import first_line

_FIND: Final = "SELECT id, role, disabled_at IS NOT NULL FROM users WHERE lower(email) = lower(%s) FOR NO KEY UPDATE"
_SET: Final = "UPDATE users SET role = %s WHERE id = %s"
_COUNT: Final = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL"


def make_admin(database_url: str, email: str) -> bool:
    """Make a user an admin. Returns False where the user is one already.

    Raises:
        AccountUnknown: no account has this address.
        AccountDisabled: an admin keeps this user out.
        SettingsInvalid: the URL is unusable.
        DatabaseFailed: the database does not answer, or refuses.

    """
    return _set_role(database_url, email, is_admin=True)[0]


def remove_admin(database_url: str, email: str) -> tuple[bool, int]:
    """Make an admin a user as any other. Returns False where the user is no admin, and how many admins there are after that.

    Raises:
        AccountUnknown, SettingsInvalid, DatabaseFailed: as `make_admin`.

    """
    return _set_role(database_url, email, is_admin=False)


def _set_role(database_url: str, email: str, *, is_admin: bool) -> tuple[bool, int]:
    role = "admin" if is_admin else "user"
    try:
        with connect(database_url) as connection:
            row = connection.execute(_FIND, [email]).fetchone()
            if row is None:
                raise AccountUnknown(f"no account has the address {email}")
            user_id, role_before, is_disabled = row
            if is_admin and is_disabled:
                raise AccountDisabled(f"the account {email} is disabled; an admin has to enable it first")
            changes = role_before != role
            if changes:
                connection.execute(_SET, [role, user_id])
                note(connection, "admin.made" if is_admin else "admin.removed", user_id)
            ((admins,),) = connection.execute(_COUNT).fetchall()
            return changes, admins
    except psycopg.Error as error:
        raise DatabaseFailed(f"DATABASE_URL: {first_line(error)}") from error
