"""A user whom an admin keeps out: no credential is good any more, and nobody who has the password learns why."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import httpx
import jwt
import pyotp
import pytest
from cryptography.fernet import Fernet
from passlib.hash import bcrypt_sha256

from services.api.accounts.password_check import _hash_to_try
from services.api.accounts.queries import Credentials, find_credentials, lock_account
from services.api.auth.passwords import Passwords, rounds_of
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.database.engine import open_database
from shared.database_urls import to_sqlalchemy
from shared.errors import CredentialsInvalid
from shared.ids import UserId
from tests.conftest import SECRET, settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.admins import Person, acts_on, new_admin, new_person
from tests.support.clients import NO_TLS, PASSWORD, Client, refusal_of
from tests.support.signed_in import Browser
from tests.support.turns import execute

DISABLE: Final = "UPDATE users SET disabled_at = now() WHERE id = %s"
WRONG: Final = "wrong horse"


@pytest.fixture
async def admin(api: str, database_url: str) -> AsyncIterator[Person]:
    async with new_admin(api, database_url) as person:
        yield person


@pytest.fixture
async def person(api: str) -> AsyncIterator[Person]:
    async with new_person(api) as made:
        yield made


async def disable(admin: Person, person: Person, *, disabled: bool = True) -> dict[str, Any]:
    changed = await admin.client.http.patch(person.path, json={"disabled": disabled})
    told: dict[str, Any] = changed.raise_for_status().json()
    return told


async def log_in(client: Client, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:  # noqa: ANN401
    body = {"email": email, "password": password, **more}
    return await client.http.post("/api/auth/login", json=body, headers={"Authorization": ""})


async def opened(http: httpx.AsyncClient, path: str) -> httpx.Response:
    """The answer of a stream, of which only a refusal is read: a stream may never end."""
    async with http.stream("GET", path) as response:
        if response.is_error:
            await response.aread()
        return response


def token_before(user_id: int) -> str:
    """An access token as the release before signed them, of no session."""
    now = int(time.time())
    claims = {"sub": str(user_id), "typ": "access", "iss": "cortexai", "aud": "cortexai-api", "jti": uuid4().hex}
    return jwt.encode({**claims, "iat": now, "exp": now + 600}, SECRET)


@pytest.mark.parametrize("by", ["an admin", "SQL"])
async def test_no_credential_of_the_user_is_good_at_the_next_request(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str, by: str
) -> None:
    """By SQL the sessions are still there: each query for a credential looks at the user itself."""
    browser = Browser(http)
    (await browser.log_in(person.email)).raise_for_status()
    tokens = (await log_in(person.client, person.email)).json()
    ticket = (await person.client.http.post("/api/auth/stream-ticket")).json()["ticket"]
    key = await person.key("chat")
    before = {"Authorization": f"Bearer {token_before(person.id)}"}
    for headers in (key, before):
        assert (await http.get("/api/chats", headers=headers)).status_code == 200
    if by == "SQL":
        execute(database_url, DISABLE, person.id)
    else:
        assert (await disable(admin, person))["disabled_at"] is not None
    told = [
        await person.client.http.get("/api/chats"),
        await http.get("/api/chats", headers=before),
        await browser.get("/api/chats"),
        await opened(http, f"/api/events?ticket={ticket}"),
        await http.get("/api/chats", headers=key),
        await http.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]}),
    ]
    assert [refusal_of(refused) for refused in told] == [
        (401, "token_invalid"),
        (401, "token_invalid"),
        (401, "session_invalid"),
        (401, "ticket_invalid"),
        (401, "key_invalid"),
        (401, "refresh_token_invalid"),
    ]


async def test_a_disabled_admin_is_none(admin: Person, api: str, database_url: str, http: httpx.AsyncClient) -> None:
    async with new_admin(api, database_url) as other:
        key = await other.key("admin")
        await disable(admin, other)
        assert refusal_of(await other.client.http.get("/api/admin/users")) == (401, "token_invalid")
        assert refusal_of(await http.get("/api/admin/users", headers=key)) == (401, "key_invalid")


async def test_a_login_is_answered_as_with_a_wrong_password(admin: Person, person: Person, database_url: str) -> None:
    # Of another cost than new hashes have: a right password would be hashed anew, which takes time.
    kept = bcrypt_sha256.using(rounds=5).hash(PASSWORD)
    execute(database_url, "UPDATE users SET password_hash = %s WHERE id = %s", kept, person.id)
    await disable(admin, person)
    told = [
        await log_in(admin.client, email, password, **more)
        for more in ({}, {"code": "123456"})
        for email, password in (
            (person.email, PASSWORD),
            (person.email, WRONG),
            (f"{uuid4().hex}@example.com", WRONG),
        )
    ]
    assert {refusal_of(refused) for refused in told} == {(401, "credentials_invalid")}
    assert len({refused.content for refused in told}) == 1
    assert len({frozenset(refused.headers) for refused in told}) == 1
    assert execute(database_url, "SELECT password_hash FROM users WHERE id = %s", person.id) == [(kept,)]
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", person.id) == [(0,)]


def test_a_disabled_users_password_takes_as_long_as_a_wrong_one() -> None:
    """No password has the hash that it is compared with, which has the cost of the user's own."""

    class Resources:
        passwords = Passwords(rounds=4)

    kept = bcrypt_sha256.using(rounds=6).hash(PASSWORD)
    for may_log_in in (True, False):
        found = Credentials(UserId(1), kept, "a@example.com", 0, has_second_factor=False, may_log_in=may_log_in)
        compared = _hash_to_try(Resources(), found.email, found)  # type: ignore[arg-type]
        assert rounds_of(compared) == 6
        assert bcrypt_sha256.verify(PASSWORD, compared) is may_log_in
    Resources.passwords.close()


async def test_right_passwords_of_a_disabled_user_are_counted_as_wrong_ones(
    database_url: str, valkey: EmbeddedValkey
) -> None:
    limits = {"login_bad_tries": 3, "login_bad_tries_of_network": 0, "login_bad_tries_at_account": 0}
    async with (
        serve(settings_for(database_url, valkey.url, NOBODY, **limits)) as url,
        new_person(url) as person,
    ):
        execute(database_url, DISABLE, person.id)
        statuses = [(await log_in(person.client, person.email, password)).status_code for password in [PASSWORD] * 4]
    assert statuses == [401, 401, 401, 429]


async def test_the_second_factor_of_a_disabled_user_is_told_to_nobody(
    database_url: str, valkey: EmbeddedValkey
) -> None:
    settings = settings_for(database_url, valkey.url, NOBODY, data_source_keys=Fernet.generate_key().decode())
    async with serve(settings) as url, new_person(url) as person:
        secret = (await person.client.http.post("/api/auth/second-factor")).raise_for_status().json()["secret"]
        code = {"code": pyotp.TOTP(secret).now()}
        (await person.client.http.post("/api/auth/second-factor/confirm", json=code)).raise_for_status()
        assert refusal_of(await log_in(person.client, person.email)) == (401, "second_factor_required")
        execute(database_url, DISABLE, person.id)
        assert refusal_of(await log_in(person.client, person.email)) == (401, "credentials_invalid")


async def test_a_login_that_was_checked_before_begins_no_session(
    admin: Person, person: Person, database_url: str
) -> None:
    """Neither while the user is disabled nor when the user is enabled again."""
    database = open_database(to_sqlalchemy(database_url), pool_size=1)
    try:
        async with database.connect() as db:
            checked = await find_credentials(db, person.email)
        assert checked is not None
        for disabled in (True, False):
            await disable(admin, person, disabled=disabled)
            async with database.begin() as db:
                with pytest.raises(CredentialsInvalid):
                    await lock_account(db, checked)
        async with database.connect() as db:
            checked = await find_credentials(db, person.email)
        assert checked is not None
        execute(database_url, DISABLE, person.id)
        async with database.begin() as db:
            with pytest.raises(CredentialsInvalid):
                await lock_account(db, checked)
    finally:
        await database.dispose()


async def test_a_user_who_is_enabled_again_logs_in_anew_and_has_all_else(
    admin: Person, person: Person, http: httpx.AsyncClient, database_url: str
) -> None:
    chat, key = await person.client.new_chat(), await person.key("read")
    tokens = (await log_in(person.client, person.email)).json()
    for _ in range(2):  # which changes nothing the second time
        await disable(admin, person)
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", person.id) == [(0,)]
    for _ in range(2):
        assert (await disable(admin, person, disabled=False))["disabled_at"] is None
    assert refusal_of(await person.client.http.get("/api/chats")) == (401, "token_invalid")
    again = await http.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refusal_of(again) == (401, "refresh_token_invalid")
    login = (await log_in(person.client, person.email)).raise_for_status().json()
    person.client.http.headers["Authorization"] = f"Bearer {login['access_token']}"
    assert (await person.client.http.get(f"/api/chats/{chat}")).status_code == 200
    assert (await http.get(f"/api/chats/{chat}", headers=key)).status_code == 200
    assert [act for act, *_ in acts_on(database_url, person.id)] == ["user.disabled", "user.enabled"]


async def test_logins_and_a_disabling_at_once_leave_no_session(
    admin: Person, person: Person, api: str, database_url: str
) -> None:
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as other:
        client = Client(other)
        for _ in range(5):
            logins = asyncio.gather(*(log_in(client, person.email) for _ in range(8)))
            await disable(admin, person)
            statuses = {answer.status_code for answer in await logins}
            assert statuses <= {200, 401}
            assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", person.id) == [(0,)]
            await disable(admin, person, disabled=False)
