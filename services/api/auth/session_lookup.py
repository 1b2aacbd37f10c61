"""Which sessions there are, asked for every request that names one; and sessions that last longer by being used."""

from collections.abc import Collection

from services.api.auth.batched_lookup import BatchedLookup
from services.api.auth.sessions import (
    TOKEN,
    Lifetimes,
    SessionRow,
    extend_sessions,
    find_sessions,
    find_sessions_by_id,
)
from services.api.auth.use_notes import UseNotes
from shared.accounts.tokens import hash_token
from shared.database.engine import Connection, Database
from shared.ids import UserId


class SessionLookup:
    """Finds sessions by a cookie's token, or by the id that an access token or a ticket names.

    A session that is used lasts for its whole idle time again. Requests that come at the same time share a query, as for
    accounts. No request waits until its session is extended.
    """

    def __init__(self, database: Database, lifetimes: Lifetimes) -> None:
        self.lifetimes = lifetimes
        self._database = database
        self._by_token = BatchedLookup(self._find_by_token)
        self._by_id = BatchedLookup(self._find_by_id)
        self._notes = UseNotes(database, self._extend, failed="sessions_not_extended")

    async def find(self, token: str) -> SessionRow | None:
        """The session of this cookie's token, which is used by that; None when there is none, or it has ended.

        Its account exists now.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

        """
        return self._used(await self._by_token.get(hash_token(token)) if TOKEN.fullmatch(token) else None)

    async def find_by_id(self, session_id: int, user_id: UserId) -> SessionRow | None:
        """This session of this user, which is used by that; None when there is none, or it has ended.

        Raises:
            SQLAlchemyError, DatabaseUnavailable: as `find`.

        """
        session = await self._by_id.get(session_id)
        return self._used(session) if session and session.user_id == user_id else None

    async def find_live(self, session_ids: Collection[int]) -> frozenset[int]:
        """Those of these sessions that have not ended, by one query. That makes no use of them.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.

        """
        return frozenset(await self._find_by_id(session_ids))

    async def finish(self) -> None:
        """Wait until the sessions that are due are extended."""
        await self._notes.finish()

    async def _find_by_token(self, token_hashes: Collection[bytes]) -> dict[bytes, SessionRow]:
        async with self._database.connect() as db:
            return await find_sessions(db, token_hashes)

    async def _find_by_id(self, session_ids: Collection[int]) -> dict[int, SessionRow]:
        async with self._database.connect() as db:
            return await find_sessions_by_id(db, session_ids)

    def _used(self, session: SessionRow | None) -> SessionRow | None:
        if session and session.is_due:
            self._notes.add(session.id)
        return session

    async def _extend(self, db: Connection, session_ids: Collection[int]) -> None:
        await extend_sessions(db, session_ids, self.lifetimes)
