"""What an account's row says of its user: whether the user may come in, and whether the user is an admin. Conditions of SQL."""

from typing import Final

from shared.database.tables import User

MAY_LOG_IN: Final = User.disabled_at.is_(None)
"""No admin keeps the user out. For every query that finds whom a credential names."""
IS_ADMIN: Final = (User.role == "admin").label("is_admin")
