"""Passwords: their hashes, what these cost, and the forms in which a password can be typed."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from passlib.hash import bcrypt_sha256
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from services.api.accounts.schemas import Password, TypedPassword
from services.api.auth.passwords import HASHERS, Passwords, Verdict, rounds_of
from services.api.auth.stored_costs import LOOK_EVERY, StoredCosts
from shared.errors import TooBusy

RIGHT, WRONG = Verdict(right=True), Verdict(right=False)
NFC, NFD = "cr\u00e8me br\u00fbl\u00e9e", "cre\u0300me bru\u0302le\u0301e"

PLAIN_BCRYPT = "$2b$04$mwM03BBuQkLGFoIaORne3elzK6LjA5VeTNZ2YdlvEq7J6Idrw/yBO"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """A quick hasher."""
    made = Passwords(rounds=4)
    yield made
    made.close()


async def hashed(passwords: Passwords, password: str) -> str:
    """A hash as signing up makes it."""
    async with passwords.hasher("a network", "an account") as hasher:
        return await hasher.hash(password)


async def verify(passwords: Passwords, password: str, password_hash: str) -> Verdict:
    """What logging in finds."""
    async with passwords.hasher("a network", "an account") as hasher:
        return await hasher.verify(password, password_hash)


async def test_a_password_is_verified_by_its_hash(passwords: Passwords) -> None:
    kept = await hashed(passwords, "correct horse")
    assert await verify(passwords, "correct horse", kept) == RIGHT
    assert await verify(passwords, "correct horsf", kept) == WRONG


async def test_a_hash_is_salted_and_does_not_hold_the_password(passwords: Passwords) -> None:
    one, another = await hashed(passwords, "correct horse"), await hashed(passwords, "correct horse")
    assert one != another
    assert "correct" not in one + another


@pytest.mark.parametrize("password", ["x" * 73, "x" * 1000, "😀" * 1024], ids=["73 bytes", "1,000", "4,096 bytes"])
async def test_every_byte_of_a_long_password_counts(password: str, passwords: Passwords) -> None:
    kept = await hashed(passwords, password)
    assert await verify(passwords, password, kept) == RIGHT
    assert await verify(passwords, password[:-1], kept) == WRONG


@pytest.mark.parametrize(
    ("one", "other"),
    [(NFC, NFD), ("pass word", "pass\u00a0word"), ("pass word", "pass\u3000word"), ("Abc12345", "Ａｂｃ１２３４５")],
    ids=["accents", "no-break space", "wide space", "full width"],
)
async def test_a_password_is_the_same_however_a_keyboard_writes_it(one: str, other: str, passwords: Passwords) -> None:
    assert one != other
    assert await verify(passwords, one, await hashed(passwords, other)) == RIGHT
    assert await verify(passwords, other, await hashed(passwords, one)) == RIGHT


@pytest.mark.parametrize("other", ["Pass word", "pass  word", "pass word ", "pässword"])
async def test_nothing_else_of_a_password_is_taken_for_the_same(other: str, passwords: Passwords) -> None:
    assert await verify(passwords, other, await hashed(passwords, "pass word")) == WRONG


async def test_a_hash_of_the_password_as_it_was_typed_is_replaced_when_it_is_right(passwords: Passwords) -> None:
    old: str = bcrypt_sha256.using(rounds=4).hash(NFD)
    assert await verify(passwords, NFC, old) == WRONG  # it can't be known from the hash
    right, better = await verify(passwords, NFD, old)
    assert right
    assert better
    assert await verify(passwords, NFC, better) == await verify(passwords, NFD, better) == RIGHT


@pytest.mark.parametrize("rounds", [5, 6])
async def test_a_right_password_is_hashed_anew_at_the_cost_that_is_set(rounds: int, passwords: Passwords) -> None:
    old: str = bcrypt_sha256.using(rounds=rounds).hash("correct horse")
    assert await verify(passwords, "wrong horse", old) == WRONG
    right, better = await verify(passwords, "correct horse", old)
    assert right
    assert better
    assert rounds_of(better) == 4
    assert await verify(passwords, "correct horse", better) == RIGHT


@pytest.mark.parametrize("rounds", [4, 10, 12, 16])
def test_the_dummy_hash_has_the_cost_that_is_asked_for(rounds: int, passwords: Passwords) -> None:
    assert rounds_of(passwords.dummy_hash(rounds)) == rounds


async def test_a_password_that_its_normal_form_makes_too_long_is_wrong_or_right_as_it_was_typed(
    passwords: Passwords,
) -> None:
    typed = "\ufdfa" * 1024  # 18 characters each in the normal form
    assert await verify(passwords, typed, await hashed(passwords, "correct horse")) == WRONG
    old: str = bcrypt_sha256.using(rounds=4).hash(typed)
    assert await verify(passwords, typed, old) == RIGHT
    assert await verify(passwords, typed[:-1], old) == WRONG


async def test_no_password_has_the_dummy_hash(passwords: Passwords) -> None:
    for password in ("", "x", "correct horse"):
        assert await verify(passwords, password, passwords.dummy_hash(5)) == WRONG


@pytest.mark.parametrize("text", ["", "!", "x", "$bcrypt-sha256$v=2,t=2b,r=99$x", PLAIN_BCRYPT])
def test_what_is_no_hash_of_ours_has_no_cost(text: str) -> None:
    assert rounds_of(text) is None


async def test_an_unknown_address_takes_as_long_as_the_accounts_hashes_say(passwords: Passwords) -> None:
    """By rounds, not by time: whatever the setting says, what is compared has the cost of the kept hashes."""
    asked = 0

    async def find() -> list[int]:
        nonlocal asked
        asked += 1
        return [10] * 30 + [12] * 70

    now = LOOK_EVERY
    costs = StoredCosts(find, 4, key=b"key", clock=lambda: now)
    assert costs.of("somebody@example.com") == 4
    await costs.look()
    addresses = [f"{number}@example.com" for number in range(2000)]
    told = [costs.of(address) for address in addresses]
    assert set(told) == {10, 12}
    assert 0.65 < told.count(12) / len(told) < 0.75
    assert [costs.of(address) for address in addresses] == told
    other = StoredCosts(find, 4, key=b"another key", clock=lambda: now)
    await other.look()
    assert [other.of(address) for address in addresses] != told
    await costs.look()
    assert asked == 2
    now += LOOK_EVERY
    await costs.look()
    assert asked == 3


@pytest.mark.parametrize("why", [SQLAlchemyError, asyncio.CancelledError])
async def test_after_a_look_that_failed_the_next_one_looks(why: type[BaseException]) -> None:
    found: list[list[int]] = []

    async def find() -> list[int]:
        if not found:
            raise why
        return found.pop()

    costs = StoredCosts(find, 4, key=b"key")
    with pytest.raises(why):
        await costs.look()
    found.append([12])
    await costs.look()
    assert costs.of("somebody@example.com") == 12


async def test_without_accounts_an_unknown_address_has_the_cost_that_is_set() -> None:
    async def find() -> list[int]:
        return []

    costs = StoredCosts(find, 11, key=b"key")
    await costs.look()
    assert costs.of("somebody@example.com") == 11


async def test_hashing_does_not_hold_up_the_event_loop() -> None:
    passwords = Passwords(rounds=10)
    hashing = asyncio.create_task(hashed(passwords, "correct horse"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > 5
    passwords.close()


async def test_too_many_passwords_at_once_are_refused() -> None:
    passwords = Passwords(rounds=4, of_network=3)
    tasks = [asyncio.create_task(hashed(passwords, "x")) for _ in range(HASHERS + 4)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, TooBusy) for each in ended] == [False] * (HASHERS + 3) + [True]
    passwords.close()


async def test_who_is_cancelled_keeps_the_thread_until_it_is_free() -> None:
    passwords, gate, begun = Passwords(rounds=4), threading.Event(), threading.Barrier(HASHERS + 1)

    def work() -> None:
        begun.wait(10)
        gate.wait(10)

    async def hold() -> None:
        async with passwords.hasher("network", "account") as hasher:
            await hasher._run(work)

    tasks = [asyncio.create_task(hold()) for _ in range(HASHERS)]
    await asyncio.to_thread(begun.wait, 10)
    for task in tasks:
        task.cancel()
    next_one = asyncio.create_task(hashed(passwords, "x"))
    _, waiting = await asyncio.wait({next_one, *tasks}, timeout=0.05)
    assert waiting == {next_one, *tasks}
    gate.set()
    assert await next_one
    passwords.close()


@pytest.mark.parametrize("kind", [TypeAdapter[str](Password), TypeAdapter[str](TypedPassword)])
def test_a_password_of_countless_marks_is_refused_before_it_is_normalized(kind: TypeAdapter[str]) -> None:
    """To bring 100,000 pairs of marks into their order takes a minute."""
    began = time.process_time()
    with pytest.raises(ValidationError):
        kind.validate_python("a" + "\u0316\u0301" * 100_000)
    assert time.process_time() - began < 1
