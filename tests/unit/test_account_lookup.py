"""Whether accounts exist: asked for every request, by one query for those that come at the same time."""

import asyncio
from collections.abc import Collection

import pytest

from services.api.auth.account_lookup import AccountLookup
from shared.ids import UserId

ONE, TWO, THREE = UserId(1), UserId(2), UserId(3)


class Database:
    """Accounts, and the queries for them. A query answers when it is let go, with what is there by then."""

    def __init__(self, *user_ids: UserId) -> None:
        self.accounts = set(user_ids)
        self.asked: list[set[UserId]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.error: OSError | None = None

    async def find(self, user_ids: Collection[UserId]) -> set[UserId]:
        self.asked.append(set(user_ids))
        found = self.accounts & set(user_ids)
        await asyncio.sleep(0)  # as a real one, it lets others run
        await self.free.wait()
        if self.error:
            raise self.error
        return found


async def started(*tasks: asyncio.Task[bool]) -> None:
    """Let tasks run as far as they get."""
    for _ in range(10 * len(tasks)):
        await asyncio.sleep(0)


async def test_an_account_exists_until_it_is_deleted() -> None:
    database = Database(ONE)
    accounts = AccountLookup(database.find)
    assert await accounts.exists(ONE)
    assert not await accounts.exists(TWO)
    database.accounts.clear()
    assert not await accounts.exists(ONE)


async def test_requests_at_the_same_time_share_a_query() -> None:
    database = Database(ONE, TWO)
    accounts = AccountLookup(database.find)
    found = await asyncio.gather(*(accounts.exists(user_id) for user_id in (ONE, TWO, THREE) * 100))
    assert found == [True, True, False] * 100
    assert len(database.asked) <= 2


async def test_a_query_begins_after_the_request_that_it_answers() -> None:
    database = Database(ONE)
    accounts = AccountLookup(database.find)
    database.free.clear()
    before = asyncio.create_task(accounts.exists(ONE))
    await started(before)
    database.accounts.clear()
    after = asyncio.create_task(accounts.exists(ONE))
    await started(after)
    database.free.set()
    assert (await before, await after) == (True, False)
    assert database.asked == [{ONE}, {ONE}]


async def test_a_query_that_fails_fails_all_that_share_it_and_no_others() -> None:
    database = Database(ONE)
    accounts = AccountLookup(database.find)
    database.free.clear()
    first = asyncio.create_task(accounts.exists(TWO))
    await started(first)
    sharing = [asyncio.create_task(accounts.exists(ONE)) for _ in range(50)]
    await started(*sharing)
    database.error = ConnectionRefusedError()
    database.free.set()
    assert all(isinstance(error, OSError) for error in await asyncio.gather(first, *sharing, return_exceptions=True))
    assert len(database.asked) == 2
    database.error = None
    assert await accounts.exists(ONE)


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_request_that_goes_away_takes_nothing_from_those_that_share_its_query(gone: int) -> None:
    database = Database(ONE)
    accounts = AccountLookup(database.find)
    database.free.clear()
    sharing = [asyncio.create_task(accounts.exists(ONE)) for _ in range(3)]
    await started(*sharing)
    sharing.pop(gone).cancel()
    await started(*sharing)
    database.free.set()
    assert await asyncio.gather(*sharing) == [True, True]
