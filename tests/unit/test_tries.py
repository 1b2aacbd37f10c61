"""Counts of this process: their windows, their bounds, and the rates that are made of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.auth.local_counts import NEVER, LocalCounts, Rate
from shared.errors import TooManyRequests


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_window_begins_with_the_first_time_and_ends_with_its_count(clock: Clock) -> None:
    counts = LocalCounts(60, clock=clock)
    assert counts.find("a") == NEVER
    assert counts.add("a") == (1, 60)
    clock.now += 59
    assert counts.add("a") == (2, 1)
    assert counts.find("a") == (2, 1)
    assert counts.find("b") == NEVER
    clock.now += 1
    assert counts.find("a") == NEVER
    assert counts.add("a") == (1, 60)


def test_a_key_that_is_cleared_counts_from_nothing(clock: Clock) -> None:
    counts = LocalCounts(60, clock=clock)
    for _ in range(9):
        counts.add("a")
    counts.clear("a")
    assert counts.add("a").number == 1


def test_made_up_keys_push_the_oldest_out_and_take_no_more_memory(clock: Clock) -> None:
    counts = LocalCounts(60, max_keys=100, clock=clock)
    for number in range(1000):
        counts.add(str(number))
    assert len(counts) == 100
    assert counts.find("899") == NEVER
    assert counts.find("900").number == 1


def test_what_is_over_is_forgotten_when_something_new_is_counted(clock: Clock) -> None:
    counts = LocalCounts(60, clock=clock)
    for number in range(100):
        counts.add(str(number))
    clock.now += 60
    counts.add("new")
    assert len(counts) == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 40)), max_size=50))
def test_a_count_is_that_of_the_times_since_its_window_began(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    counts = LocalCounts(60, clock=clock)
    began: dict[str, float] = {}
    expected: dict[str, int] = {}
    for key, later in steps:
        clock.now += later
        if clock.now >= began.get(key, 0) + 60:
            began[key], expected[key] = clock.now, 0
        expected[key] += 1
        assert counts.add(key).number == expected[key]


def test_a_rate_refuses_what_is_too_much_and_says_for_how_long(clock: Clock) -> None:
    rate = Rate(3, clock=clock)
    for _ in range(3):
        rate.take(1)
    clock.now += 20.5
    with pytest.raises(TooManyRequests) as refused:
        rate.take(1)
    assert refused.value.seconds == 40
    rate.take(2)
    clock.now += 39.5
    rate.take(1)


def test_a_rate_of_0_is_none(clock: Clock) -> None:
    rate = Rate(0, clock=clock)
    for _ in range(10_000):
        rate.take(1)
