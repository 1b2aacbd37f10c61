"""A few connections to data sources at a time, in all and of each user."""

import gc
from contextlib import AsyncExitStack

import pytest

from shared.data_sources.access import Slots
from shared.errors import TooBusy
from shared.ids import UserId

ADA, BOB, EVE = UserId(1), UserId(2), UserId(3)


async def test_a_user_takes_no_more_than_a_users_share_and_leaves_the_rest_to_others() -> None:
    slots = Slots(most=3, most_of_a_user=2, seconds=0.01)
    async with AsyncExitStack() as held:
        for user in (ADA, ADA, BOB):
            await held.enter_async_context(slots.one(user))
        with pytest.raises(TooBusy):
            await held.enter_async_context(slots.one(ADA))
        with pytest.raises(TooBusy):
            await held.enter_async_context(slots.one(EVE))
    async with slots.one(ADA), slots.one(ADA), slots.one(EVE):
        pass


async def test_what_fails_gives_its_place_back() -> None:
    slots = Slots(most=1, seconds=0.01)
    for _ in range(2):
        with pytest.raises(KeyError):
            async with slots.one(ADA):
                raise KeyError


async def test_nothing_is_kept_of_users_who_have_none() -> None:
    slots = Slots()
    async with slots.one(ADA):
        assert list(slots._of_users) == [ADA]
    gc.collect()
    assert list(slots._of_users) == []
