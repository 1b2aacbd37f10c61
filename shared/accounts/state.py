"""What an account's rows say of its user. Conditions of SQL."""

from typing import Final

from sqlalchemy import and_, exists, or_

from shared.database.tables import SecondFactor, User

MAY_LOG_IN: Final = User.disabled_at.is_(None)
"""Neither an admin nor the operator keeps the user out. For every query that finds whom a credential names."""
IS_ADMIN: Final = (User.role == "admin").label("is_admin")
HAS_SECOND_FACTOR: Final = exists().where(SecondFactor.user_id == User.id, SecondFactor.confirmed_at.is_not(None))
"""A login with the password needs a code."""
HAS_PASSWORD: Final = User.password_hash.like("$bcrypt-sha256$%")
"""The hash is one of ours. An operator may have put another text there, which no password has."""
MAY_SET_PASSWORD: Final = or_(HAS_PASSWORD, and_(User.password_hash.is_(None), User.email_verified_at.is_not(None)))
"""A mailed link may set the password. An account without one gets one in this way only where its user, or the provider that
made the account, has shown who reads mail at the address."""
