"""Which accounts exist, asked for every request."""

from collections.abc import Awaitable, Callable, Collection
from collections.abc import Set as AbstractSet

from services.api.auth.batched_lookup import ANSWER_WITHIN, BatchedLookup
from shared.ids import UserId


class AccountLookup:
    """Tells whether accounts exist. `find` gets those of some ids that exist from the database."""

    def __init__(
        self, find: Callable[[Collection[UserId]], Awaitable[AbstractSet[UserId]]], *, within: float = ANSWER_WITHIN
    ) -> None:
        async def find_all(user_ids: Collection[UserId]) -> dict[UserId, bool]:
            return dict.fromkeys(await find(user_ids), True)

        self._lookup = BatchedLookup(find_all, within=within)

    async def exists(self, user_id: UserId) -> bool:
        """Whether this account exists now.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.
            DatabaseUnavailable: the database does not answer in time.

        """
        return await self._lookup.get(user_id) is not None
