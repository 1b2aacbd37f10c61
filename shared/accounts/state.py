"""What an account's rows say of its user. Conditions of SQL."""

from typing import Final

from sqlalchemy import exists

from shared.database.tables import SecondFactor, User

MAY_LOG_IN: Final = User.disabled_at.is_(None)
"""Neither an admin nor the operator keeps the user out. For every query that finds whom a credential names."""
IS_ADMIN: Final = (User.role == "admin").label("is_admin")
HAS_SECOND_FACTOR: Final = exists().where(SecondFactor.user_id == User.id, SecondFactor.confirmed_at.is_not(None))
"""A login with the password needs a code."""
HAS_PASSWORD: Final = User.password_hash.like("$bcrypt-sha256$%")
"""The hash is one of ours. An operator may have put another text there, which no password has."""
