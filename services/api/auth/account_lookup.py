"""Which accounts exist, asked for every request. Requests that come at the same time share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from shared.errors import DatabaseUnavailable
from shared.ids import UserId

ANSWER_WITHIN: Final = 5.0
"""Seconds after which a query is given up, so that one connection that hangs does not stop every request."""


@dataclass(slots=True)
class _Batch:
    """Requests that share a query: the ids that they ask for, then what the query found, or why it failed."""

    user_ids: set[UserId] = field(default_factory=set)
    found: AbstractSet[UserId] | None = None
    error: SQLAlchemyError | DatabaseUnavailable | None = None


class AccountLookup:
    """Tells whether accounts exist. `find` gets those of some ids that exist from the database.

    One query runs at a time, and requests that come meanwhile share the next one. So a query always begins after the
    request that it answers, which a cache could not promise: a deleted account is refused at once. And a thousand
    requests at the same time take one connection, where a query each would keep messages waiting for theirs.
    """

    def __init__(
        self, find: Callable[[Collection[UserId]], Awaitable[AbstractSet[UserId]]], *, within: float = ANSWER_WITHIN
    ) -> None:
        self._find = find
        self._within = within
        self._asking = asyncio.Lock()
        self._next = _Batch()

    async def exists(self, user_id: UserId) -> bool:
        """Whether this account exists now.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

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
                    async with asyncio.timeout(self._within):
                        batch.found = await self._find(batch.user_ids)
                except TimeoutError:
                    batch.error = DatabaseUnavailable()
                    raise batch.error from None
                except SQLAlchemyError as error:
                    batch.error = error
                    raise
        return user_id in batch.found
