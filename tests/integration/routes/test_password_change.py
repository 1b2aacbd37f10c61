"""The change of a password and of an address, and proving again who one is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import SECRET, settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.clients import NO_TLS, PASSWORD, Client, logged_in, refusal_of
from tests.support.signed_in import Browser, logged_in_browser
from tests.support.turns import execute, wait_for_waiters

NEW = "another horse, another battery"


@pytest.fixture
async def browser(http: httpx.AsyncClient) -> Browser:
    """A new user's browser, logged in."""
    return await logged_in_browser(http)


@pytest.fixture(scope="module")
async def strict(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody at an API that takes three wrong passwords a minute."""
    prefix = f"{uuid4().hex}:"
    settings = settings_for(make_database(), valkey.url, NOBODY, login_bad_tries=3, redis_prefix=prefix)
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as opened:
        yield opened


async def change(browser: Browser, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    """Try to change the password."""
    return await browser.post("/api/auth/password", json={"current_password": current, "new_password": new})


async def reauthenticate(browser: Browser, password: str = PASSWORD) -> httpx.Response:
    """Try to prove who one is."""
    return await browser.post("/api/auth/reauthenticate", json={"password": password})


def make_old(database_url: str) -> None:
    """Have it be an hour ago that anybody has proved who they are."""
    execute(database_url, "UPDATE sessions SET authenticated_at = now() - interval '1 hour'")


def old_token(user_id: int) -> dict[str, str]:
    """The header with an access token of an hour ago, which is good for a while yet, as releases before issued them."""
    now = int(time.time())
    ours = {"sub": str(user_id), "typ": "access", "iss": "cortexai", "aud": "cortexai-api", "jti": uuid4().hex}
    return {"Authorization": f"Bearer {jwt.encode({**ours, 'iat': now - 3000, 'exp': now + 60}, SECRET)}"}


async def test_a_password_is_changed_by_who_knows_it(browser: Browser) -> None:
    changed = await change(browser)
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await browser.log_in(password=PASSWORD)).status_code == 401
    assert (await browser.log_in(password=NEW)).status_code == 200


async def test_a_change_of_the_password_ends_the_other_sessions(http: httpx.AsyncClient, browser: Browser) -> None:
    other, stranger = Browser(http), await logged_in_browser(http)
    other.email = browser.email
    (await other.log_in()).raise_for_status()
    assert await other.is_logged_in()
    assert (await change(browser)).status_code == 204
    assert not await other.is_logged_in()
    assert await browser.is_logged_in()
    assert await stranger.is_logged_in()


async def test_a_wrong_password_changes_nothing(http: httpx.AsyncClient, browser: Browser) -> None:
    other = Browser(http)
    other.email = browser.email
    (await other.log_in()).raise_for_status()
    assert refusal_of(await change(browser, current="wrong horse")) == (403, "password_mismatch")
    assert await other.is_logged_in()
    assert (await browser.log_in()).status_code == 200


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (PASSWORD, "password_unchanged"),
        (PASSWORD.replace(" ", "\u3000"), "password_unchanged"),
        ("password1", "password_too_common"),
        ("{email}", "password_is_the_email"),
        ("CortexAI-2026", "password_is_the_product"),
        ("short", "validation_failed"),
    ],
)
async def test_a_new_password_that_can_not_be_taken_is_refused_by_name(browser: Browser, new: str, code: str) -> None:
    refused = await change(browser, new=new.format(email=browser.email))
    assert refusal_of(refused) == (422, code)
    assert refused.json()["field"] == "new_password"
    assert (await browser.log_in()).status_code == 200


async def test_of_two_changes_at_once_one_wins(browser: Browser) -> None:
    """The other one was checked against a password that the account has no longer."""
    news = (NEW, f"{NEW}, {NEW}")
    answers = await asyncio.gather(*(change(browser, new=new) for new in news))
    assert sorted(answer.status_code for answer in answers) == [204, 403]
    won = [new for new in news if (await browser.log_in(password=new)).status_code == 200]
    assert won == [new for new, answer in zip(news, answers, strict=True) if answer.status_code == 204]


async def test_a_login_that_was_checked_before_a_change_begins_no_session(
    http: httpx.AsyncClient, database_url: str
) -> None:
    """Else who tries a stolen password all the time would have a session that outlives the change."""
    browser = Browser(http)
    await browser.sign_up()
    with psycopg.connect(database_url) as changing, psycopg.connect(database_url) as other:
        change_of = "UPDATE users SET credentials_version = credentials_version + 1 WHERE email = %s"
        changing.execute(change_of, [browser.email])
        login = asyncio.create_task(browser.log_in())
        await asyncio.to_thread(wait_for_waiters, other, 1)  # the password is checked by now
        changing.commit()
        assert refusal_of(await login) == (401, "credentials_invalid")
    assert not browser.cookies
    user = execute(database_url, "SELECT id FROM users WHERE email = %s", browser.email)[0][0]
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", user) == [(0,)]


async def test_each_change_of_who_may_log_in_has_another_version(browser: Browser, database_url: str) -> None:
    version = "SELECT credentials_version FROM users WHERE email = %s"
    assert execute(database_url, version, browser.email) == [(0,)]
    assert (await change(browser)).status_code == 204
    assert execute(database_url, version, browser.email) == [(1,)]


@pytest.mark.parametrize("path", ["/api/auth/password", "/api/auth/reauthenticate"])
async def test_wrong_passwords_of_who_is_logged_in_are_limited_as_logins_are(
    strict: httpx.AsyncClient, path: str
) -> None:
    browser = await logged_in_browser(strict)
    wrong = {"current_password": "wrong horse", "new_password": NEW, "password": "wrong horse"}
    names = ("password",) if path.endswith("reauthenticate") else ("current_password", "new_password")
    body = {name: wrong[name] for name in names}
    assert [(await browser.post(path, json=body)).status_code for _ in range(4)] == [403, 403, 403, 429]
    refused = await browser.log_in()
    assert refusal_of(refused) == (429, "too_many_tries")


async def test_what_ends_or_moves_an_account_needs_a_recent_authentication(browser: Browser, database_url: str) -> None:
    make_old(database_url)
    email = f"{uuid4().hex}@example.com"
    for method, path, body in (
        ("DELETE", "/api/auth/me", None),
        ("PATCH", "/api/auth/me", {"email": email, "time_zone": "Asia/Tokyo"}),
        ("POST", "/api/auth/second-factor", None),
        ("POST", "/api/auth/second-factor/confirm", {"code": "123456"}),
        ("POST", "/api/auth/second-factor/recovery-codes", None),
        ("DELETE", "/api/auth/second-factor", {"code": "123456"}),
        ("POST", "/api/auth/keys", {"name": "Report", "scopes": ["read"]}),
    ):
        refused = await browser.send(method, path, json=body)
        assert refusal_of(refused) == (403, "reauthentication_required"), path
    me = (await browser.get("/api/auth/me")).json()
    assert (me["email"], me["time_zone"]) == (browser.email, None)
    assert (await reauthenticate(browser)).status_code == 204
    assert (await browser.send("PATCH", "/api/auth/me", json={"email": email})).status_code == 200
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204


async def test_a_wrong_password_proves_nothing(browser: Browser, database_url: str) -> None:
    make_old(database_url)
    assert refusal_of(await reauthenticate(browser, "wrong horse")) == (403, "password_mismatch")
    assert refusal_of(await browser.send("DELETE", "/api/auth/me")) == (403, "reauthentication_required")


async def test_a_session_proves_for_itself_alone(http: httpx.AsyncClient, browser: Browser, database_url: str) -> None:
    other = Browser(http)
    other.email = browser.email
    (await other.log_in()).raise_for_status()
    make_old(database_url)
    assert (await reauthenticate(other)).status_code == 204
    assert refusal_of(await browser.send("DELETE", "/api/auth/me")) == (403, "reauthentication_required")


async def test_a_token_of_releases_before_proves_nothing(api: str) -> None:
    async with logged_in(api) as client:
        me = (await client.http.get("/api/auth/me")).json()
        headers = old_token(me["id"])
        assert (await client.http.get("/api/auth/me", headers=headers)).json() == me
        refused = await client.http.delete("/api/auth/me", headers=headers)
        assert refusal_of(refused) == (403, "reauthentication_required")
        again = await client.http.post("/api/auth/reauthenticate", json={"password": PASSWORD}, headers=headers)
        assert refusal_of(again) == (403, "reauthentication_required")
        assert (await client.http.delete("/api/auth/me")).status_code == 204


async def test_the_time_zone_needs_no_recent_authentication(browser: Browser, database_url: str) -> None:
    make_old(database_url)
    changed = await browser.send("PATCH", "/api/auth/me", json={"time_zone": "Europe/Berlin"})
    assert (changed.status_code, changed.json()["time_zone"]) == (200, "Europe/Berlin")


async def test_one_logs_in_with_the_address_that_one_has_now(browser: Browser) -> None:
    before, after = browser.email, f"{uuid4().hex}@bücher.example.com"
    changed = await browser.send("PATCH", "/api/auth/me", json={"email": after})
    assert (changed.status_code, changed.json()["email"]) == (200, after)
    assert changed.json() == (await browser.get("/api/auth/me")).json()
    assert (await browser.log_in(after)).status_code == 200
    assert (await browser.log_in(before)).status_code == 401


async def test_an_address_that_another_has_is_taken_in_any_case(user: Client, browser: Browser) -> None:
    taken = (await user.http.get("/api/auth/me")).json()["email"].upper()
    body = {"email": taken, "time_zone": "Asia/Tokyo"}
    refused = await browser.send("PATCH", "/api/auth/me", json=body)
    assert (refusal_of(refused), refused.json()["field"]) == ((409, "email_taken"), "email")
    me = (await browser.get("/api/auth/me")).json()
    assert (me["email"], me["time_zone"]) == (browser.email, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"email": None}, "email"),
        ({"email": "x"}, "email"),
        ({"email": None, "time_zone": None}, "email"),
    ],
)
async def test_a_change_of_nothing_is_refused(browser: Browser, body: dict[str, str | None], field: str) -> None:
    refused = await browser.send("PATCH", "/api/auth/me", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
