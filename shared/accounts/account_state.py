"""What rows say of an account: who may come in, whether codes are asked for, who is an admin. Conditions of SQL."""

from typing import Final

from sqlalchemy import exists

from shared.database.tables import SecondFactor, User

MAY_LOG_IN: Final = User.disabled_at.is_(None)
"""No admin keeps the user out. For every query that finds whom a credential names."""
IS_ADMIN: Final = (User.role == "admin").label("is_admin")
HAS_SECOND_FACTOR: Final = exists().where(SecondFactor.user_id == User.id, SecondFactor.confirmed_at.is_not(None))
"""A login by a password asks for a code."""
