"""Which accounts exist, asked for every request. Requests that come at the same time share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from shared.ids import UserId


@dataclass(slots=True)
class _Batch:
    """Requests that share a query: the ids that they ask for, then what the query found, or why it failed."""

    user_ids: set[UserId] = field(default_factory=set)
    found: AbstractSet[UserId] | None = None
    error: SQLAlchemyError | OSError | None = None


class AccountLookup:
    """Tells whether accounts exist. `find` gets those of some ids that exist from the database.

    One query runs at a time, and requests that come meanwhile share the next one. So a query always begins after the
    request that it answers, which a cache could not promise: a deleted account is refused at once. And a thousand
    requests at the same time take one connection, where a query each would keep messages waiting for theirs.
    """

    def __init__(self, find: Callable[[Collection[UserId]], Awaitable[AbstractSet[UserId]]]) -> None:
        self._find = find
        self._asking = asyncio.Lock()
        self._next = _Batch()

    async def exists(self, user_id: UserId) -> bool:
        """Whether this account exists now.

        Raises:
            SQLAlchemyError: the database does not answer.
            OSError: the database can't be reached.

        """
        batch = self._next
        batch.user_ids.add(user_id)
        async with self._asking:
            if batch.error is not None:
                raise batch.error
            if batch.found is None:  # the first of the batch asks for all; the next one does if the first was cancelled
                if batch is self._next:
                    self._next = _Batch()
                try:
                    batch.found = await self._find(batch.user_ids)
                except (SQLAlchemyError, OSError) as error:
                    batch.error = error
                    raise
        return user_id in batch.found
