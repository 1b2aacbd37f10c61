"""Every move that a generation may make, and no other."""

from itertools import product

import pytest

from shared.states import LIVE, OPEN, TERMINAL, GenerationStatus, MessageStatus, is_legal, message_status

LEGAL = {
    ("waiting", "queued"),  # its turn has come
    ("waiting", "cancelled"),
    ("queued", "running"),  # claimed
    ("queued", "cancelled"),
    ("queued", "failed"),
    ("running", "queued"),  # released, or its lease expired
    ("running", "completed"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "awaiting_approval"),
    ("awaiting_approval", "queued"),  # decided
    ("awaiting_approval", "cancelled"),
}


@pytest.mark.parametrize(("before", "after"), list(product(GenerationStatus, repeat=2)))
def test_only_these_moves_are_legal(before: GenerationStatus, after: GenerationStatus) -> None:
    assert is_legal(before, after) is ((before.value, after.value) in LEGAL)


def test_every_status_is_either_open_or_terminal() -> None:
    assert set(GenerationStatus) == OPEN | TERMINAL
    assert not OPEN & TERMINAL
    assert {GenerationStatus.WAITING} == OPEN - LIVE


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ("waiting", "pending"),
        ("queued", "pending"),
        ("running", "pending"),
        ("awaiting_approval", "pending"),
        ("completed", "completed"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
    ],
)
def test_a_reply_is_pending_until_its_generation_is_over(generation: str, message: str) -> None:
    assert message_status(GenerationStatus(generation)) is MessageStatus(message)
