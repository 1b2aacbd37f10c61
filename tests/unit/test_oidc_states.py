"""What a browser keeps of a login that is under way: sealed, for a while, and good for nothing else."""

import time

import pytest
from redis.asyncio import Redis

from services.api.auth.oidc.login_states import LASTS, LoginState, LoginStates
from services.api.auth.shared_counts import TriesInRedis

SECRET, PREVIOUS = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "b7e151628aed2a6abf7158809cf4f3c7"


def states(secret: str, *others: str) -> LoginStates:
    tries = TriesInRedis(Redis(host="127.0.0.1", port=1), prefix="", secret=secret, others=others)
    return LoginStates(tries, secret, others)


def test_a_state_is_opened_as_it_was_sealed_also_after_a_rotation() -> None:
    state = LoginState("acme", "link", "/#/account", user_id=7, session_id=9)
    sealed = states(PREVIOUS).seal(state)
    assert states(SECRET, PREVIOUS).open(sealed) == state
    assert states(SECRET).open(sealed) is None
    assert state.verifier not in sealed
    assert state.verifier not in repr(state)


def test_no_two_states_are_the_same() -> None:
    made = [LoginState("acme", "login", "/") for _ in range(100)]
    assert len({secret for each in made for secret in (each.state, each.nonce, each.verifier)}) == 300


def test_a_state_is_too_old_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = states(SECRET)
    sealed = boxes.seal(LoginState("acme", "login", "/"))
    assert boxes.open(sealed) is not None
    now = time.time()
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: now + LASTS + 2)
    assert boxes.open(sealed) is None


@pytest.mark.parametrize("sealed", ["", "x", "ü", "gAAAAA==", "a" * 5000])
def test_what_nobody_has_sealed_is_no_state(sealed: str) -> None:
    assert states(SECRET).open(sealed) is None


async def test_without_redis_a_state_is_used_all_the_same() -> None:
    boxes, state = states(SECRET), LoginState("acme", "login", "/")
    assert await boxes.use(state)
    assert await boxes.use(state)
