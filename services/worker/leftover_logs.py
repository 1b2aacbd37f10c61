"""What a deleted account has left in Redis is made to expire.

The deletion removes logs and the feed itself. Something is left over where its process was killed, where Redis did not answer,
or where somebody wrote on who did not know of the deletion. So each deletion is noted before its commit (removal.py).
"""

from dataclasses import dataclass

from sqlalchemy import ARRAY, BigInteger, Uuid, any_, literal, select

from shared.database.engine import Connection, Database
from shared.database.tables import Generation, User
from shared.ids import GenerationId, UserId
from shared.streams.removal import Deleted, Removal
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeftoverLogs:
    """Looks at what deletions have noted. Any process may do so, and several at once."""

    database: Database
    removal: Removal

    async def remove(self) -> None:
        """Have logs and feeds expire whose rows are gone. A deletion that was not committed leaves its notes for nothing.

        Raises:
            SQLAlchemyError: the database does not answer.
            StreamsUnavailable: Redis does not answer.

        """
        noted = await self.removal.find_noted()
        if not noted.users and not noted.generations:
            return
        async with self.database.connect() as db:
            gone = await _without_rows(db, noted)
        await self.removal.expire_logs(gone.generations)
        await self.removal.expire_feeds(gone.users)
        await self.removal.forget_noted(noted)
        log.info("deletions_looked_at", users=len(gone.users), generations=len(gone.generations))


async def _without_rows(db: Connection, noted: Deleted) -> Deleted:
    """Those of these that are gone."""
    users = select(User.id).where(User.id == any_(literal(noted.users, ARRAY(BigInteger))))
    generations = select(Generation.id).where(Generation.id == any_(literal(noted.generations, ARRAY(Uuid))))
    kept = {UserId(each) for each in (await db.execute(users)).scalars()}
    kept_generations = {GenerationId(each) for each in (await db.execute(generations)).scalars()}
    return Deleted(
        [each for each in noted.users if each not in kept],
        [each for each in noted.generations if each not in kept_generations],
    )
