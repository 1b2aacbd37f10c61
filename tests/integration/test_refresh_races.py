"""Refresh tokens on a real database: tabs that race are never thrown out, and a token in two hands ends its session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import pytest

from services.api.auth.refresh_tokens import RefreshToken
from services.api.auth.rotation import MAX_KEPT, Granted, begin_tokens, rotate
from services.api.auth.sessions import Lifetimes, SessionClient
from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.errors import TooManyRequests
from shared.ids import UserId
from tests.support.turns import execute, logged

GRACE: Final = timedelta(seconds=30)
LIFETIMES: Final = Lifetimes(timedelta(days=30), timedelta(days=365))
CLIENT: Final = SessionClient("test", "203.0.113.0/24")
TABS, ROTATIONS = 50, 20


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[list[Database]]:
    """The connections of two API processes."""
    async with AsyncExitStack() as stack:
        opened = [open_database(to_sqlalchemy(database_url), pool_size=5) for _ in range(2)]
        for database in opened:
            stack.push_async_callback(database.dispose)
        yield opened


@pytest.fixture
async def granted(databases: list[Database], database_url: str) -> Granted:
    """What a login has given."""
    ((user,),) = execute(
        database_url, "INSERT INTO users (email, password_hash) VALUES ('tabs@example.com', '!') RETURNING id"
    )
    async with databases[0].begin() as db:
        return await begin_tokens(db, UserId(int(str(user))), LIFETIMES, CLIENT)


async def exchange(database: Database, token: RefreshToken) -> RefreshToken | None:
    async with database.begin() as db:
        rotated = await rotate(db, token, GRACE, LIFETIMES, CLIENT)
    return rotated.token if rotated else None


def let_pass(database_url: str, seconds: int) -> None:
    """Make what was used seem used so many seconds earlier."""
    execute(database_url, "UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => %s)", seconds)


async def test_50_tabs_that_refresh_at_once_20_times_are_all_still_logged_in(
    databases: list[Database], granted: Granted, database_url: str
) -> None:
    async def tab(number: int) -> RefreshToken:
        token = granted.token
        for _ in range(ROTATIONS):
            following = await exchange(databases[number % 2], token)
            assert following is not None, "a tab was thrown out"
            token = following
        return token

    last = await asyncio.gather(*map(tab, range(TABS)))
    assert len(set(last)) == 1, "each rotation has one successor, whoever asks"
    assert execute(database_url, "SELECT id, kind FROM sessions") == [(granted.session.id, "tokens")]
    unused = execute(database_url, "SELECT token_hash FROM refresh_tokens WHERE used_at IS NULL")
    assert unused == [(last[0].own_hash,)]
    assert execute(database_url, "SELECT count(*) FROM refresh_tokens") == [(ROTATIONS + 1,)]


async def test_within_the_grace_a_used_token_gives_the_very_same_successor(
    databases: list[Database], granted: Granted, database_url: str
) -> None:
    successor = await exchange(databases[0], granted.token)
    let_pass(database_url, 29)
    assert successor == await exchange(databases[1], granted.token)
    assert successor is not None
    assert successor != granted.token


async def test_a_stolen_token_that_is_used_later_ends_the_session_for_both(
    databases: list[Database], granted: Granted, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    stolen = granted.token
    mine = await exchange(databases[0], stolen)
    assert mine is not None
    let_pass(database_url, 31)
    assert await exchange(databases[1], stolen) is None
    assert await exchange(databases[0], mine) is None
    assert execute(database_url, "SELECT count(*) FROM sessions") == [(0,)]
    assert execute(database_url, "SELECT count(*) FROM refresh_tokens") == [(0,)]
    (line,) = logged(caplog, "refresh_token_reused")
    assert (line["session_id"], line["user_id"]) == (granted.session.id, granted.user_id)
    assert not any(secret in caplog.text for secret in (stolen.own, stolen.family, mine.own))


async def test_a_token_whose_row_is_forgotten_ends_the_session_too(
    databases: list[Database], granted: Granted, database_url: str
) -> None:
    second = await exchange(databases[0], granted.token)
    assert second is not None
    let_pass(database_url, 31)
    third = await exchange(databases[0], second)
    assert third is not None
    assert execute(database_url, "SELECT count(*) FROM refresh_tokens") == [(2,)]
    assert await exchange(databases[0], granted.token) is None
    assert await exchange(databases[0], third) is None


async def test_the_rows_alone_give_no_token(databases: list[Database], granted: Granted, database_url: str) -> None:
    successor = await exchange(databases[0], granted.token)
    assert successor is not None
    joined = "FROM sessions s JOIN refresh_tokens t ON t.session_id = s.id"
    rows = execute(database_url, f"SELECT s::text, t::text, encode(t.successor, 'escape') {joined}")
    assert len(rows) == 2
    for secret in (granted.token.family, granted.token.own, successor.own):
        assert secret not in str(rows)


async def test_a_used_row_that_somebody_has_changed_ends_the_session(
    databases: list[Database], granted: Granted, database_url: str
) -> None:
    await exchange(databases[0], granted.token)
    execute(database_url, "UPDATE refresh_tokens SET successor = 'x' WHERE used_at IS NOT NULL")
    assert await exchange(databases[0], granted.token) is None
    assert execute(database_url, "SELECT count(*) FROM sessions") == [(0,)]


async def test_a_client_that_rotates_without_end_is_slowed_down_and_not_thrown_out(
    databases: list[Database], granted: Granted, database_url: str
) -> None:
    execute(
        database_url,
        "INSERT INTO refresh_tokens (session_id, token_hash, used_at)"
        " SELECT %s, sha256(n::text::bytea), now() FROM generate_series(1, %s) n",
        *(granted.session.id, MAX_KEPT),
    )
    with pytest.raises(TooManyRequests) as refused:
        await exchange(databases[0], granted.token)
    assert refused.value.seconds == 30
    let_pass(database_url, 31)
    assert await exchange(databases[0], granted.token) is not None
    assert execute(database_url, "SELECT count(*) FROM refresh_tokens") == [(2,)]


@pytest.mark.parametrize(("age", "left"), [(0, 30), (350, 15), (364, 1)])
async def test_a_session_that_is_refreshed_lasts_longer_within_its_whole_time(
    databases: list[Database], granted: Granted, database_url: str, age: int, left: int
) -> None:
    execute(
        database_url,
        "UPDATE sessions SET created_at = now() - make_interval(days => %s), expires_at = now() + interval '1 hour'",
        age,
    )
    async with databases[0].begin() as db:
        rotated = await rotate(db, granted.token, GRACE, LIFETIMES, CLIENT)
    assert rotated is not None
    assert rotated.session.lasts == pytest.approx(left * 24 * 3600, abs=5)
    days = "SELECT round(extract(epoch FROM expires_at - now()) / 86400)::int FROM sessions"
    assert execute(database_url, days) == [(left,)]


async def test_a_session_whose_time_is_over_gives_nothing_and_is_no_theft(
    databases: list[Database], granted: Granted, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(database_url, "UPDATE sessions SET expires_at = now() - interval '1 second'")
    assert await exchange(databases[0], granted.token) is None
    assert logged(caplog, "refresh_token_reused") == []
