"""What tells a database from every other, by whatever address, pooler or user it is reached."""

import hashlib
from typing import Final

from sqlalchemy import text

from shared.database.engine import Database

QUERY: Final = (
    "SELECT system_identifier::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "FROM pg_control_system()"
)
"""The cluster's identifier, which a standby shares, and the database in it. So a failover changes nothing."""


def digest(found: str) -> str:
    """The identity: short, and nothing that tells of the server."""
    return hashlib.sha256(found.encode()).hexdigest()[:16]


async def identify(database: Database) -> str:
    """The identity of a database.

    Raises:
        SQLAlchemyError: it does not answer, or does not tell.

    """
    async with database.connect() as db:
        return digest((await db.execute(text(QUERY))).scalar_one())
