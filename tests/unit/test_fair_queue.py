"""The fair queue: who waits, for whom, and who is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.auth.fair_queue import FairQueue
from shared.errors import TooBusy


class Hall:
    """People who come for a permit, and in which order they got it."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.served: list[str] = []
        self.leave = asyncio.Event()

    async def come(self, network: str, account: str = "a", name: str = "") -> None:
        async with self.queue.take(network, account):
            self.served.append(name or f"{network}{account}")

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Somebody has the only permit, so that all others wait."""
        async with self.queue.take("first", "first"):
            yield

    async def wait(self, count: int) -> None:
        await asyncio.sleep(0)  # in which all of them come
        assert self.queue.waiting == count


def start(hall: Hall, *people: tuple[str, str, str]) -> list[asyncio.Task[None]]:
    """Let them come in this order."""
    return [asyncio.create_task(hall.come(*each)) for each in people]


async def test_networks_come_in_rotation_and_so_do_the_accounts_of_a_network() -> None:
    hall = Hall(FairQueue(1))
    async with hall.closed():
        crowd = [("crowd", "bob", f"bob{number}") for number in range(3)]
        crowd += [("crowd", "eve", f"eve{number}") for number in range(2)]
        tasks = start(hall, *crowd, ("office", "ann", "ann"), ("home", "joe", "joe"))
        await hall.wait(len(tasks))
    await asyncio.gather(*tasks)
    assert hall.served == ["bob0", "ann", "joe", "eve0", "bob1", "eve1", "bob2"]


async def test_of_a_crowd_of_a_thousand_another_network_waits_for_one() -> None:
    hall = Hall(FairQueue(1, of_network=1000, in_all=2000))
    async with hall.closed():
        tasks = start(hall, *[("crowd", f"{number}", "") for number in range(1000)], ("office", "ann", "ann"))
        await hall.wait(len(tasks))
    await asyncio.gather(*tasks)
    assert hall.served.index("ann") == 1


async def test_of_a_network_of_which_too_many_wait_one_more_is_refused_and_of_others_none() -> None:
    hall = Hall(FairQueue(1, of_network=2, in_all=100))
    async with hall.closed():
        tasks = start(hall, *[("crowd", "a", "")] * 2)
        await hall.wait(2)
        with pytest.raises(TooBusy):
            await hall.come("crowd")
        tasks += start(hall, ("office", "ann", ""))
        await hall.wait(3)
    await asyncio.gather(*tasks)


async def test_when_too_many_wait_in_all_the_network_with_most_of_them_makes_room() -> None:
    hall = Hall(FairQueue(1, of_network=100, in_all=4))
    async with hall.closed():
        crowd = start(hall, *[("crowd", "a", f"{number}") for number in range(4)])
        await hall.wait(4)
        ann = start(hall, ("office", "ann", "ann"))
        joe = start(hall, ("home", "joe", "joe"))
        await asyncio.wait(crowd[2:])
        assert [isinstance(task.exception(), TooBusy) for task in crowd[2:]] == [True, True]
        assert hall.queue.waiting == 4
        with pytest.raises(TooBusy):
            await hall.come("crowd")  # of which no fewer wait than of any other
    await asyncio.gather(*crowd[:2], *ann, *joe)
    assert sorted(hall.served) == ["0", "1", "ann", "joe"]


@pytest.mark.parametrize("crowd", ["2001:db8:0:{:x}::/64", "192.0.2.{}"])
async def test_the_networks_of_a_wide_one_keep_no_other_out(crowd: str) -> None:
    """One free /48 of IPv6 has 65,536 networks, and each has one who waits."""
    hall = Hall(FairQueue(1, in_all=200))
    async with hall.closed():
        tasks = start(hall, *[(crowd.format(number), "a", "crowd") for number in range(200)])
        await hall.wait(200)
        ann = start(hall, ("2001:db8:1::/64", "ann", "ann"), ("198.51.100.1", "joe", "joe"))
        await hall.wait(200)
    await asyncio.gather(*ann)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, TooBusy) for each in ended) == 2
    assert set(hall.served[:3]) == {"crowd", "ann", "joe"}


async def test_in_a_full_network_the_account_with_most_tries_makes_room() -> None:
    hall = Hall(FairQueue(1, of_network=3))
    async with hall.closed():
        crowd = start(hall, *[("office", "eve", f"eve{number}") for number in range(3)])
        await hall.wait(3)
        ann = start(hall, ("office", "ann", "ann"))
        await hall.wait(3)
    await asyncio.gather(*crowd[:2], *ann)
    assert isinstance(crowd[2].exception(), TooBusy)
    assert hall.served == ["eve0", "ann", "eve1"]


async def test_who_is_cancelled_waits_no_more() -> None:
    hall = Hall(FairQueue(1, of_network=2))
    async with hall.closed():
        gone, stays = start(hall, ("crowd", "a", "gone"), ("crowd", "a", "stays"))
        await hall.wait(2)
        gone.cancel()
        await asyncio.wait([gone])
        assert hall.queue.waiting == 1
        next_one = start(hall, ("crowd", "b", "next"))
        await hall.wait(2)
    await asyncio.gather(stays, *next_one)
    assert hall.served == ["stays", "next"]


async def test_a_permit_that_comes_with_a_cancellation_goes_to_the_next_one() -> None:
    hall = Hall(FairQueue(1))
    async with hall.closed():
        first, second = start(hall, ("crowd", "a", "first"), ("office", "a", "second"))
        await hall.wait(2)
    first.cancel()  # its permit has come, and it has not run yet
    await asyncio.wait([first, second])
    assert hall.served == ["second"]


@given(
    permits=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["a", "10.0.0.1", "10.0.0.2"]), st.sampled_from("xy"), st.booleans()), max_size=40
    ),
)
def test_no_permit_is_lost_whatever_people_do(permits: int, steps: list[tuple[str, str, bool]]) -> None:
    asyncio.run(_play(FairQueue(permits, of_network=4, in_all=7), permits, steps))


async def _play(queue: FairQueue, permits: int, steps: list[tuple[str, str, bool]]) -> None:
    busy = most = 0

    async def come(network: str, account: str) -> None:
        nonlocal busy, most
        async with queue.take(network, account):
            busy += 1
            most = max(most, busy)
            try:
                await asyncio.sleep(0)
            finally:
                busy -= 1

    tasks: list[asyncio.Task[None]] = []
    for network, account, cancels in steps:
        tasks.append(asyncio.create_task(come(network, account)))
        if cancels:
            await asyncio.sleep(0)
            tasks[len(tasks) // 2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= permits
    assert busy == queue.waiting == 0
    async with asyncio.timeout(1), AsyncExitStack() as stack:  # all permits are free again
        for _ in range(permits):
            await stack.enter_async_context(queue.take("z", "z"))
