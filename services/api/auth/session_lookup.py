"""Who a session's token names, asked for every request with a cookie; and sessions that last longer by being used."""

from collections.abc import Collection
from datetime import timedelta

from services.api.auth.batched_lookup import BatchedLookup
from services.api.auth.sessions import TOKEN, SessionRow, extend_sessions, find_sessions, hash_token
from services.api.auth.use_notes import UseNotes
from shared.database.engine import Connection, Database
from shared.errors import SessionInvalid
from shared.ids import UserId


class SessionLookup:
    """Tells whose session a token names. A session that is used lasts for a whole `lifetime` again.

    Requests that come at the same time share a query, as for accounts. No request waits until its session is extended.
    """

    def __init__(self, database: Database, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._database = database
        self._lookup = BatchedLookup(self._find)
        self._notes = UseNotes(database, self._extend, failed="sessions_not_extended")

    async def find_user(self, token: str) -> UserId:
        """The user of this token's session. The account exists now.

        Raises:
            SessionInvalid: no session has this token, or it has ended.
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

        """
        session = await self._lookup.get(hash_token(token)) if TOKEN.fullmatch(token) else None
        if session is None:
            raise SessionInvalid
        if session.is_due:
            self._notes.add(session.id)
        return session.user_id

    async def exists(self, token_hash: bytes) -> bool:
        """Whether the session of the token with this hash has not ended. That makes no use of the session.

        Raises:
            SQLAlchemyError, DatabaseUnavailable: as `find_user`.

        """
        return await self._lookup.get(token_hash) is not None

    async def finish(self) -> None:
        """Wait until the sessions that are due are extended."""
        await self._notes.finish()

    async def _find(self, token_hashes: Collection[bytes]) -> dict[bytes, SessionRow]:
        async with self._database.connect() as db:
            return await find_sessions(db, token_hashes)

    async def _extend(self, db: Connection, session_ids: Collection[int]) -> None:
        await extend_sessions(db, session_ids, self.lifetime)
