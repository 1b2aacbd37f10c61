"""Limits of tries, over HTTP: who is stopped by whose wrong passwords, and who never is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from passlib.hash import bcrypt_sha256
from redis.asyncio import Redis

from services.api.accounts.queries import find_credentials, replace_password_hash
from services.api.auth.passwords import rounds_of
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.database.engine import open_database
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, PASSWORD

LIMITS = {"login_bad_tries": 10, "login_bad_tries_of_network": 30, "login_bad_tries_at_account": 20}
NO_LIMITS = dict.fromkeys(LIMITS, 0)
_ADDRESSES = (f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in count(1))
NO_REDIS = "redis://127.0.0.1:1"


class Api:
    """An API with limits of its own, to which clients come from anywhere: a proxy on loopback tells their addresses."""

    def __init__(self, http: httpx.AsyncClient, database_url: str, prefix: str) -> None:
        self.http = http
        self.database_url = database_url
        self.prefix = prefix

    async def post(self, path: str, address: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        return await self.http.post(path, headers={"X-Forwarded-For": address}, **request)

    async def sign_up(self, address: str = "", email: str = "") -> str:
        email, address = email or f"{uuid4().hex}@example.com", address or somewhere()
        (await self.post("/api/auth/signup", address, json={"email": email, "password": PASSWORD})).raise_for_status()
        return email

    async def log_in(self, email: str, address: str, password: str = PASSWORD) -> httpx.Response:
        return await self.post("/api/auth/login", address, json={"email": email, "password": password})

    async def fail(self, email: str, address: str, times: int) -> list[int]:
        """Try wrong passwords, one after the other. Returns the statuses."""
        return [(await self.log_in(email, address, "wrong horse")).status_code for _ in range(times)]

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


Open = Callable[..., Any]


def somewhere() -> str:
    """An address from which nobody has come yet."""
    return next(_ADDRESSES)


@pytest.fixture
def home() -> str:
    """Where an owner comes from."""
    return somewhere()


@pytest.fixture
def office() -> str:
    """Where many come from."""
    return somewhere()


@pytest.fixture
def attacker() -> str:
    """Where wrong passwords come from."""
    return somewhere()


@pytest.fixture(scope="module")
def open_api(make_database: Callable[[], str], valkey: EmbeddedValkey) -> Open:
    """Opens APIs of one deployment."""
    database_url, prefix = make_database(), f"{uuid4().hex}:"

    @asynccontextmanager
    async def opened(redis_url: str = valkey.url, rounds: int = 4, **settings: object) -> AsyncIterator[Api]:
        values = {**LIMITS, "redis_prefix": prefix, **settings}
        made = settings_for(database_url, redis_url, "http://127.0.0.1:1", **values)
        made = made.model_copy(update={"bcrypt_rounds": rounds})
        async with serve(made) as url, httpx.AsyncClient(base_url=url, timeout=20, verify=NO_TLS) as http:
            yield Api(http, database_url, made.redis_prefix)

    return opened


@pytest.fixture(scope="module")
async def api(open_api: Open) -> AsyncIterator[Api]:
    """An API with limits."""
    async with open_api() as opened:
        yield opened


@pytest.fixture
async def own_api(open_api: Open) -> AsyncIterator[Api]:
    """An API with names of its own in Redis."""
    async with open_api(redis_prefix=f"{uuid4().hex}:") as opened:
        yield opened


async def test_the_eleventh_wrong_password_from_a_network_is_429_and_says_for_how_long(
    api: Api, home: str, attacker: str
) -> None:
    email = await api.sign_up()
    assert await api.fail(email, attacker, 10) == [401] * 10
    refused = await api.log_in(email, attacker)  # the right one
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_tries"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert (await api.log_in(email, home)).status_code == 200
    assert (await api.log_in(await api.sign_up(attacker), attacker)).status_code == 200


async def test_an_address_without_an_account_is_limited_in_the_same_words(api: Api, attacker: str) -> None:
    email, nobody = await api.sign_up(), f"{uuid4().hex}@example.com"
    assert await api.fail(email, attacker, 10) == await api.fail(nobody, attacker, 10) == [401] * 10
    known, unknown = await api.log_in(email, attacker, "x"), await api.log_in(nobody, attacker, "x")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert known.headers.keys() == unknown.headers.keys()


async def test_the_spelling_of_an_address_makes_no_further_tries(api: Api, attacker: str) -> None:
    email = await api.sign_up()
    spellings = [email, email.upper(), email.title(), email.replace("i", "\u0130")]
    assert [(await api.fail(spellings[number % 4], attacker, 1))[0] for number in range(11)] == [401] * 10 + [429]


async def test_tries_that_come_at_once_are_limited_too(api: Api, attacker: str) -> None:
    email = await api.sign_up()
    answers = await asyncio.gather(*(api.log_in(email, attacker, "wrong horse") for _ in range(60)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) in {10, 11}  # two are hashed at a time
    assert statuses.count(429) == 60 - statuses.count(401)


async def test_right_passwords_that_come_at_once_are_all_right(api: Api, home: str) -> None:
    email = await api.sign_up()
    answers = await asyncio.gather(*(api.log_in(email, home) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_right_password_ends_the_count_of_its_account_from_its_network(api: Api, home: str) -> None:
    email = await api.sign_up()
    for _ in range(2):
        assert await api.fail(email, home, 9) == [401] * 9
        assert (await api.log_in(email, home)).status_code == 200


async def test_an_account_of_ones_own_does_not_clear_what_one_tried_at_others(
    api: Api, office: str, attacker: str
) -> None:
    own, others = await api.sign_up(office), [f"{uuid4().hex}@example.com" for _ in range(30)]
    for other in others:
        assert await api.fail(other, attacker, 1) == [401]
        assert (await api.log_in(own, attacker)).status_code == 200
    assert await api.fail(f"{uuid4().hex}@example.com", attacker, 1) == [429]


async def test_a_network_that_strangers_used_up_lets_those_in_who_came_from_there(
    api: Api, home: str, office: str
) -> None:
    """However many wrong passwords are tried there at other accounts, known there or not."""
    here, elsewhere = await api.sign_up(office), await api.sign_up(home)
    for _ in range(30):
        await api.fail(f"{uuid4().hex}@example.com", office, 1)
    assert (await api.log_in(elsewhere, office)).status_code == 429
    assert (await api.log_in(here, office)).status_code == 200
    for _ in range(4):
        assert await api.fail(await api.sign_up(office), office, 11) == [401] * 10 + [429]
    assert (await api.log_in(elsewhere, office)).status_code == 429
    assert (await api.log_in(here, office)).status_code == 200


async def test_wrong_passwords_at_one_account_are_limited_in_a_network_that_it_knows(api: Api, office: str) -> None:
    email = await api.sign_up(office)
    assert await api.fail(email, office, 11) == [401] * 10 + [429]
    assert (await api.log_in(email, office)).status_code == 429


async def test_without_redis_a_network_is_limited_all_the_same(open_api: Open, attacker: str) -> None:
    async with open_api(NO_REDIS, login_bad_tries_of_network=3) as api:
        statuses = [(await api.fail(f"{uuid4().hex}@example.com", attacker, 1))[0] for _ in range(4)]
        assert statuses == [401] * 3 + [429]


async def test_many_networks_can_not_keep_an_owner_out(api: Api, home: str, office: str) -> None:
    email = await api.sign_up(home)
    assert (await api.log_in(email, office)).status_code == 200
    statuses = [(await api.fail(email, f"192.0.2.{number}", 1))[0] for number in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    assert (await api.log_in(email, home)).status_code == 200
    assert (await api.log_in(email, office)).status_code == 200
    assert (await api.log_in(email, "192.0.2.200")).status_code == 429  # where the owner never was


async def test_addresses_of_one_ipv6_network_are_one_client(api: Api) -> None:
    email = await api.sign_up()
    statuses = [(await api.fail(email, f"2001:db8::{number:x}", 1))[0] for number in range(1, 12)]
    assert statuses == [401] * 10 + [429]
    assert await api.fail(email, "2001:db8:0:1::1", 1) == [401]


async def test_processes_count_together(open_api: Open, attacker: str) -> None:
    async with open_api() as one, open_api() as other:
        email = await one.sign_up()
        assert await one.fail(email, attacker, 5) + await other.fail(email, attacker, 5) == [401] * 10
        assert await one.fail(email, attacker, 1) == await other.fail(email, attacker, 1) == [429]


async def test_a_right_password_ends_the_count_in_all_processes(open_api: Open, home: str) -> None:
    async with open_api() as one, open_api() as other:
        email = await one.sign_up()
        assert await other.fail(email, home, 9) == [401] * 9
        assert (await one.log_in(email, home)).status_code == 200
        assert await other.fail(email, home, 11) == [401] * 10 + [429]


async def test_without_redis_a_process_limits_by_itself(open_api: Open, home: str, attacker: str) -> None:
    async with open_api(NO_REDIS, signups_per_hour=3) as api:
        email = await api.sign_up(home)
        assert await api.fail(email, attacker, 11) == [401] * 10 + [429]
        assert (await api.log_in(email, home)).status_code == 200
        for _ in range(2):
            await api.sign_up(home)
        with pytest.raises(httpx.HTTPStatusError, match="429"):
            await api.sign_up(home)


async def test_a_redis_that_hangs_holds_no_login_for_long(open_api: Open, attacker: str) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with silent, open_api(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}") as api:
        email = await api.sign_up()
        began = time.perf_counter()
        assert await api.fail(email, attacker, 11) == [401] * 10 + [429]
        assert time.perf_counter() - began < 10


async def test_0_is_no_limit(open_api: Open, attacker: str) -> None:
    async with open_api(**NO_LIMITS) as api:
        assert set(await api.fail(await api.sign_up(), attacker, 35)) == {401}


async def test_redis_holds_no_address_and_forgets(
    own_api: Api, valkey: EmbeddedValkey, home: str, office: str, attacker: str
) -> None:
    email = await own_api.sign_up(home)
    await own_api.fail(email, attacker, 2)
    await own_api.log_in(email, office)
    redis = Redis.from_url(valkey.url)
    names = [name async for name in redis.scan_iter(f"{own_api.prefix}cortexai:tries:*")]
    kept = repr([(name, await redis.dump(name)) for name in names])
    for address in (email, home, office, attacker):
        assert address not in kept
    assert all([0 < await redis.ttl(name) <= 90 * 24 * 3600 for name in names])
    known = [name for name in names if b":known:" in name]
    assert [await redis.zcard(name) for name in known] == [2]
    for number in range(30):
        await own_api.log_in(email, f"198.51.100.{number}")
    assert await redis.zcard(known[0]) == 16
    await redis.aclose()


async def test_an_account_that_is_deleted_leaves_no_networks(own_api: Api, valkey: EmbeddedValkey, home: str) -> None:
    email = await own_api.sign_up()
    token = (await own_api.log_in(email, home)).json()["access_token"]
    redis = Redis.from_url(valkey.url)
    pattern = f"{own_api.prefix}cortexai:tries:known:*"
    assert len([name async for name in redis.scan_iter(pattern)]) == 1
    (await own_api.http.delete("/api/auth/me", headers={"Authorization": f"Bearer {token}"})).raise_for_status()
    assert [name async for name in redis.scan_iter(pattern)] == []
    await redis.aclose()


async def test_a_count_without_an_end_gets_one(own_api: Api, valkey: EmbeddedValkey, attacker: str) -> None:
    email = await own_api.sign_up()
    await own_api.fail(email, attacker, 1)
    redis = Redis.from_url(valkey.url)
    (name,) = [name async for name in redis.scan_iter(f"{own_api.prefix}cortexai:tries:pair:*")]
    await redis.persist(name)
    await own_api.fail(email, attacker, 1)
    assert 0 < await redis.ttl(name) <= 60
    await redis.aclose()


async def test_a_crowd_of_one_network_costs_another_one_no_more_than_a_hash(
    open_api: Open, home: str, attacker: str
) -> None:
    async with open_api(**NO_LIMITS, rounds=10) as api:
        email = await api.sign_up(home)
        crowd = [asyncio.create_task(api.fail(f"{number}@example.com", attacker, 1)) for number in range(60)]
        await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        assert (await api.log_in(email, home)).status_code == 200
        assert sum(task.done() for task in crowd) < 30
        assert [await task for task in crowd] == [[401]] * 60


async def test_signups_of_a_network_are_limited(open_api: Open, home: str, attacker: str) -> None:
    async with open_api(signups_per_hour=3) as api:
        email = await api.sign_up(attacker)
        taken = await api.post("/api/auth/signup", attacker, json={"email": email, "password": PASSWORD})
        assert taken.status_code == 409  # counts too: it costs as much, and tells as much
        await api.sign_up(attacker)
        refused = await api.post("/api/auth/signup", attacker, json={"email": email, "password": PASSWORD})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_signups")
        assert 0 < int(refused.headers["Retry-After"]) <= 3600
        await api.sign_up(home)


async def test_messages_and_tickets_of_a_user_are_limited(open_api: Open, home: str) -> None:
    async with open_api(user_messages_per_minute=2, user_tickets_per_minute=2) as api:
        for email in (await api.sign_up(), await api.sign_up()):
            token = (await api.log_in(email, home)).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            chat = (await api.http.post("/api/chats", headers=headers)).json()["id"]
            messages, said = f"/api/chats/{chat}/messages", {"content": "Hello", "on_conflict": "interrupt"}
            for path, body, good in ((messages, said, 202), ("/api/auth/stream-ticket", {}, 200)):
                answers = [await api.http.post(path, json=body, headers=headers) for _ in range(3)]
                assert [answer.status_code for answer in answers] == [good, good, 429], path
                assert answers[-1].json()["code"] == "too_many_requests"
                assert 0 < int(answers[-1].headers["Retry-After"]) <= 60


async def test_a_right_login_hashes_an_outdated_password_anew(api: Api, home: str) -> None:
    email = await api.sign_up()
    old = bcrypt_sha256.using(rounds=6).hash(PASSWORD)
    api.ask("UPDATE users SET password_hash = %s WHERE email = %s", old, email)
    assert await api.fail(email, home, 1) == [401]
    kept = "SELECT password_hash FROM users WHERE email = %s"
    assert api.ask(kept, email) == [(old,)]
    assert (await api.log_in(email, home)).status_code == 200
    ((better,),) = api.ask(kept, email)
    assert rounds_of(better) == 4
    assert (await api.log_in(email, home)).status_code == 200


async def test_a_password_that_is_changed_meanwhile_is_not_hashed_back(api: Api) -> None:
    email = await api.sign_up()
    database = open_database(f"postgresql+psycopg{api.database_url.removeprefix('postgresql')}", pool_size=1)
    async with database.connect() as db:
        found = await find_credentials(db, email)
        assert found
        api.ask("UPDATE users SET password_hash = 'another' WHERE email = %s", email)
        await replace_password_hash(db, found, "the old one, better hashed")
        changed = found._replace(password_hash="another")
        assert await find_credentials(db, email) == changed
        await replace_password_hash(db, changed, "better")
        assert await find_credentials(db, email) == found._replace(password_hash="better")
    await database.dispose()


async def test_an_unknown_address_costs_what_the_accounts_cost(open_api: Open, home: str) -> None:
    """The setting is 4 rounds here, a millisecond; those of the accounts have 10, some 60 ms."""
    async with open_api() as api:
        await api.sign_up()
        api.ask("UPDATE users SET password_hash = %s", bcrypt_sha256.using(rounds=10).hash(PASSWORD))
        began = time.perf_counter()
        assert await api.fail(f"{uuid4().hex}@example.com", home, 1) == [401]
        assert time.perf_counter() - began > 0.03


@pytest.mark.parametrize("locked", ["!", "", "$2b$04$", "$bcrypt-sha256$v=2,t=2b,r=99$x$y"])
async def test_a_text_that_is_no_hash_locks_an_account(locked: str, api: Api, home: str) -> None:
    email = await api.sign_up()
    api.ask("UPDATE users SET password_hash = %s WHERE email = %s", locked, email)
    assert (await api.log_in(email, home)).status_code == 401
