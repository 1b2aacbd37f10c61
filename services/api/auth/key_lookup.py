"""Whom an API key names and what it allows, asked for every request with one."""

from collections.abc import Collection

from services.api.auth.api_keys import KeyRow, find_keys, find_live_keys, note_uses
from services.api.auth.batched_lookup import BatchedLookup
from services.api.auth.key_format import is_key
from services.api.auth.use_notes import UseNotes
from shared.accounts.tokens import hash_token
from shared.database.engine import Database
from shared.errors import KeyInvalid


class KeyLookup:
    """Finds keys. Requests that come at the same time share a query, as for accounts. No request waits for its note."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lookup = BatchedLookup(self._find)
        self._notes = UseNotes(database, note_uses, failed="key_uses_not_noted")

    async def find(self, key: str) -> KeyRow:
        """The row of a key. Its account exists now. A text that can be no key is refused without a query.

        Raises:
            KeyInvalid: there is no such key, it has expired, or its account is gone or disabled.
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

        """
        found = await self._lookup.get(hash_token(key)) if is_key(key) else None
        if found is None:
            raise KeyInvalid
        if found.is_due:
            self._notes.add(found.id)
        return found

    async def find_live(self, key_ids: Collection[int]) -> set[int]:
        """Those of these keys that are good, by one query. That makes no use of them.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.

        """
        async with self._database.connect() as db:
            return await find_live_keys(db, key_ids)

    async def finish(self) -> None:
        """Wait until the uses of keys are noted."""
        await self._notes.finish()

    async def _find(self, key_hashes: Collection[bytes]) -> dict[bytes, KeyRow]:
        async with self._database.connect() as db:
            return await find_keys(db, key_hashes)
