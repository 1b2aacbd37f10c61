"""Who a session's token names, asked for every request with a cookie; and sessions that last longer by being used."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from services.api.auth.batched_lookup import ANSWER_WITHIN, BatchedLookup
from services.api.auth.sessions import TOKEN, SessionRow, extend_sessions, find_sessions, hash_token
from shared.database.engine import Database
from shared.errors import SessionInvalid
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class SessionLookup:
    """Tells whose session a token names. A session that is used lasts for a whole `lifetime` again.

    Requests that come at the same time share a query, as for accounts. No request waits until its session is extended:
    one task of the process does so for all sessions that are due.
    """

    def __init__(self, database: Database, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._database = database
        self._lookup = BatchedLookup(self._find)
        self._due = set[int]()
        self._extending: asyncio.Task[None] | None = None

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
            self._extend_later(session.id)
        return session.user_id

    async def exists(self, token_hash: bytes) -> bool:
        """Whether the session of the token with this hash has not ended. That makes no use of the session.

        Raises:
            SQLAlchemyError, DatabaseUnavailable: as `find_user`.

        """
        return await self._lookup.get(token_hash) is not None

    async def finish(self) -> None:
        """Wait until the sessions that are due are extended."""
        if self._extending:
            await self._extending

    async def _find(self, token_hashes: Collection[bytes]) -> dict[bytes, SessionRow]:
        async with self._database.connect() as db:
            return await find_sessions(db, token_hashes)

    def _extend_later(self, session_id: int) -> None:
        self._due.add(session_id)
        if self._extending is None or self._extending.done():
            self._extending = asyncio.create_task(self._extend())

    async def _extend(self) -> None:
        """Extend what is due, until nothing is. What fails is due again at the session's next request."""
        while self._due:
            session_ids = frozenset(self._due)
            self._due -= session_ids
            try:
                async with asyncio.timeout(ANSWER_WITHIN), self._database.connect() as db:
                    await extend_sessions(db, session_ids, self.lifetime)
            except (SQLAlchemyError, TimeoutError) as error:
                log.warning("sessions_not_extended", sessions=len(session_ids), error=type(error).__name__)
