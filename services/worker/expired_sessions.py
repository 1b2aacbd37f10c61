"""Sessions that have ended are deleted. Any process may do so, and several at once."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select

from shared.database.engine import Database
from shared.database.tables import Session
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

BATCH: Final = 1000
"""How many sessions one pass deletes. The next pass deletes more."""


@dataclass(frozen=True, slots=True)
class ExpiredSessions:
    """Deletes sessions that were not used for too long. They are refused already; their rows only take room."""

    database: Database

    async def delete(self) -> None:
        """Delete expired sessions, at most BATCH. One that somebody else is changing is left for a later pass."""
        expired = (
            select(Session.id)
            .where(Session.expires_at < func.now())
            .order_by(Session.expires_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        async with self.database.connect() as db:
            deleted = (await db.execute(delete(Session).where(Session.id.in_(expired)))).rowcount
        if deleted:
            log.info("expired_sessions_deleted", sessions=deleted)
