"""Look-ups that requests share: those that come at the same time are answered by one query."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from shared.errors import DatabaseUnavailable

ANSWER_WITHIN: Final = 5.0
"""Seconds after which a query is given up, so that one connection that hangs does not stop every request."""

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


@dataclass(slots=True)
class _Batch(Generic[Key, Found]):
    """Requests that share a query: the keys that they ask for, then what the query found, or why it failed."""

    keys: set[Key] = field(default_factory=set)
    found: Mapping[Key, Found] | None = None
    error: SQLAlchemyError | DatabaseUnavailable | None = None


class BatchedLookup(Generic[Key, Found]):
    """Looks rows up by their keys. `find` gets those of some keys that exist from the database.

    One query runs at a time, and requests that come meanwhile share the next one. So a query always begins after the
    request that it answers, which a cache could not promise: what was deleted is refused at once. And a thousand
    requests at the same time take one connection, where a query each would keep messages waiting for theirs.
    """

    def __init__(
        self, find: Callable[[Collection[Key]], Awaitable[Mapping[Key, Found]]], *, within: float = ANSWER_WITHIN
    ) -> None:
        self._find = find
        self._within = within
        self._asking = asyncio.Lock()
        self._next = _Batch[Key, Found]()

    async def get(self, key: Key) -> Found | None:
        """What there is for this key now; None when there is nothing.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

        """
        batch = self._next
        batch.keys.add(key)
        async with self._asking:
            if batch.error is not None:
                raise batch.error
            if batch.found is None:  # the first of the batch asks for all; the next one does if the first was cancelled
                if batch is self._next:
                    self._next = _Batch()
                try:
                    async with asyncio.timeout(self._within):
                        batch.found = await self._find(batch.keys)
                except TimeoutError:
                    batch.error = DatabaseUnavailable()
                    raise batch.error from None
                except SQLAlchemyError as error:
                    batch.error = error
                    raise
        return batch.found.get(key)
