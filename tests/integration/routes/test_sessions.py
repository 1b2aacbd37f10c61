"""Logging in with a cookie: what the cookie is like, when its session ends, and what is kept of it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookies import Morsel, SimpleCookie

import httpx
import pytest

from services.api.accounts.queries import find_own_credentials, lock_account
from services.api.auth.session_lookup import SessionLookup
from services.api.auth.sessions import (
    MAX_SESSIONS,
    MAX_USER_AGENT,
    Lifetimes,
    SessionClient,
    add_session,
    extend_sessions,
    find_sessions,
    new_token,
)
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.accounts.tokens import hash_token
from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.ids import UserId
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.signed_in import Browser, logged_in_browser
from tests.support.turns import execute

NAME = "__Host-cortexai"
DAY = 24 * 3600
LIFETIMES = Lifetimes(timedelta(days=30), timedelta(days=365))


@pytest.fixture
async def browser(http: httpx.AsyncClient) -> Browser:
    """A new user's browser, logged in."""
    return await logged_in_browser(http)


def set_cookie(response: httpx.Response) -> Morsel[str]:
    """The one cookie that an answer sets."""
    (header,) = response.headers.get_list("set-cookie")
    (cookie,) = SimpleCookie(header).values()
    return cookie


def kept_hash(token: str) -> bytes:
    """What is kept of a token, by the description of the table."""
    return hashlib.sha256(token.encode()).digest()


async def test_logging_in_with_a_cookie_gives_the_account_and_no_token(http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    await browser.sign_up()
    response = await browser.log_in()
    assert response.status_code == 200
    assert response.json() == (await browser.get("/api/auth/me")).json()
    assert response.json()["email"] == browser.email
    assert response.headers["Cache-Control"] == "no-store"
    assert browser.cookies[NAME] not in response.text


async def test_the_form_logs_in_with_a_cookie_too(http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    await browser.sign_up()
    form = {"username": browser.email, "password": PASSWORD, "cookie": "true"}
    assert (await browser.post("/api/auth/login", data=form)).json()["email"] == browser.email
    assert await browser.is_logged_in()


@pytest.mark.parametrize("cookie", [None, False])
async def test_without_asking_for_a_cookie_one_gets_a_token_and_no_cookie(
    http: httpx.AsyncClient, cookie: bool | None
) -> None:
    browser = Browser(http)
    await browser.sign_up()
    credentials = {"email": browser.email, "password": PASSWORD}
    response = await http.post(
        "/api/auth/login", json=credentials if cookie is None else {**credentials, "cookie": cookie}
    )
    assert response.json()["token_type"] == "bearer"
    assert "set-cookie" not in response.headers


async def test_whether_a_cookie_is_wanted_is_yes_or_no(http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    await browser.sign_up()
    refused = await browser.log_in(cookie="perhaps")
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", "cookie")
    assert browser.cookies == {}


async def test_a_wrong_password_gives_no_cookie_and_leaves_the_one_that_was_there(browser: Browser) -> None:
    refused = await browser.log_in(password="wrong horse battery")
    assert refusal_of(refused) == (401, "credentials_invalid")
    assert "set-cookie" not in refused.headers
    assert await browser.is_logged_in()


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000"])
async def test_on_this_machine_the_cookie_is_a_secure_one_of_this_host(http: httpx.AsyncClient, host: str) -> None:
    browser = Browser(http, host=host)
    await browser.sign_up()
    cookie = set_cookie(await browser.log_in())
    assert cookie.key == NAME
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "lax", "/")
    assert cookie["domain"] == ""
    assert cookie["max-age"] == str(400 * DAY)
    assert await browser.is_logged_in()


async def test_over_https_the_cookie_is_a_secure_one_of_this_host(http: httpx.AsyncClient) -> None:
    browser = Browser(http, host="chat.example.com", scheme="https")
    await browser.sign_up()
    cookie = set_cookie(await browser.log_in())
    assert (cookie.key, cookie["secure"], cookie["path"], cookie["domain"]) == (NAME, True, "/", "")
    assert await browser.is_logged_in()


@pytest.mark.parametrize("host", ["chat.example.com", "192.168.1.5:8000", "localhost.example.com", "0.0.0.0:8000"])
async def test_over_plain_http_elsewhere_there_is_no_cookie(http: httpx.AsyncClient, host: str) -> None:
    browser = Browser(http, host=host)
    await browser.sign_up()
    refused = await browser.log_in()
    assert refusal_of(refused) == (403, "cookie_needs_https")
    assert "COOKIES_OVER_HTTP" in refused.json()["detail"]
    assert "set-cookie" not in refused.headers
    for name in (NAME, "cortexai"):
        browser.cookies = {name: "x" * 43}
        assert refusal_of(await browser.get("/api/auth/me")) == (401, "unauthenticated")


async def test_over_plain_http_elsewhere_a_setting_allows_a_cookie(database_url: str, valkey: EmbeddedValkey) -> None:
    settings = settings_for(database_url, valkey.url, "http://127.0.0.1:1", cookies_over_http=True)
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        browser = Browser(http, host="192.168.1.5:8000")
        await browser.sign_up()
        cookie = set_cookie(await browser.log_in())
        assert (cookie.key, cookie["secure"], cookie["httponly"], cookie["path"]) == ("cortexai", "", True, "/")
        assert await browser.is_logged_in()
        assert refusal_of(await browser.post("/api/chats", origin="http://192.168.1.5:9000")) == (
            403,
            "origin_not_allowed",
        )
        token = browser.cookies["cortexai"]
        for tossed in (f"cortexai=x; cortexai={token}", f"cortexai={token}; cortexai=x"):
            assert refusal_of(await browser.get("/api/auth/me", headers={"Cookie": tossed})) == (401, "session_invalid")
        # Over TLS the same value in a cookie that anybody could have set is none.
        tls = {"Host": "chat.example.com", "X-Forwarded-Proto": "https", "Cookie": f"cortexai={token}"}
        assert refusal_of(await http.get("/api/auth/me", headers=tls)) == (401, "unauthenticated")
        logged_out = await browser.post("/api/auth/logout")
        assert (logged_out.status_code, browser.cookies) == (204, {})


async def test_only_the_hash_of_a_session_is_kept(browser: Browser, database_url: str) -> None:
    token = browser.cookies[NAME]
    assert len(token) == 43  # 256 bits in base64url
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE token_hash = %s", kept_hash(token)) == [(1,)]
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE sessions::text LIKE %s", f"%{token}%") == [(0,)]


async def test_what_a_browser_calls_itself_is_kept_in_part(browser: Browser, database_url: str) -> None:
    name = "Mozilla\t5.0 \xff" + "x" * 5000
    credentials = {"email": browser.email, "password": PASSWORD, "cookie": True}
    headers = {"User-Agent": name.encode("latin-1")}
    (await browser.post("/api/auth/login", json=credentials, headers=headers)).raise_for_status()
    ((kept,),) = execute(
        database_url, "SELECT user_agent FROM sessions WHERE token_hash = %s", kept_hash(browser.cookies[NAME])
    )
    assert kept == name.replace("\t", "")[:MAX_USER_AGENT]


async def test_a_browser_that_logs_in_again_has_one_session(browser: Browser) -> None:
    before = dict(browser.cookies)
    (await browser.log_in()).raise_for_status()
    assert browser.cookies != before
    assert await browser.is_logged_in()
    browser.cookies = before
    assert refusal_of(await browser.get("/api/auth/me")) == (401, "session_invalid")


async def test_logging_in_as_somebody_else_ends_the_session_before(browser: Browser, http: httpx.AsyncClient) -> None:
    other = Browser(http)
    await other.sign_up()
    before = dict(browser.cookies)
    await browser.log_in(other.email)
    assert (await browser.get("/api/auth/me")).json()["email"] == other.email
    assert refusal_of(await browser.get("/api/auth/me", headers={"Cookie": f"{NAME}={before[NAME]}"})) == (
        401,
        "session_invalid",
    )


async def test_a_cookie_that_somebody_planted_is_not_taken_over(http: httpx.AsyncClient) -> None:
    browser = Browser(http)
    await browser.sign_up()
    planted = "A" * 43
    browser.cookies = {NAME: planted}
    await browser.log_in()
    assert browser.cookies[NAME] != planted
    browser.cookies = {NAME: planted}
    assert refusal_of(await browser.get("/api/auth/me")) == (401, "session_invalid")


async def test_tabs_that_log_in_at_once_are_all_logged_in(browser: Browser, http: httpx.AsyncClient) -> None:
    tabs = [Browser(http) for _ in range(10)]
    for tab in tabs:
        tab.cookies, tab.email = dict(browser.cookies), browser.email
    answers = await asyncio.gather(*(tab.log_in() for tab in tabs))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len({tab.cookies[NAME] for tab in tabs}) == 10
    assert all([await tab.is_logged_in() for tab in tabs])
    assert not await browser.is_logged_in()


async def test_logging_out_ends_the_session_and_clears_the_cookie(browser: Browser) -> None:
    before = dict(browser.cookies)
    response = await browser.post("/api/auth/logout")
    cookie = set_cookie(response)
    assert (response.status_code, response.content) == (204, b"")
    assert (cookie.key, cookie.value, cookie["max-age"], cookie["path"], cookie["secure"]) == (NAME, "", "0", "/", True)
    assert browser.cookies == {}
    browser.cookies = before
    assert refusal_of(await browser.get("/api/auth/me")) == (401, "session_invalid")


async def test_logging_out_again_or_without_a_session_changes_nothing(
    browser: Browser, http: httpx.AsyncClient
) -> None:
    before = dict(browser.cookies)
    for cookies in (before, before, {NAME: "nonsense"}, {NAME: "A" * 43}, {}):
        browser.cookies = dict(cookies)
        assert (await browser.post("/api/auth/logout")).status_code == 204
    assert (await http.post("/api/auth/logout")).status_code == 204


async def test_logging_out_leaves_the_users_other_browsers_logged_in(browser: Browser, http: httpx.AsyncClient) -> None:
    other = Browser(http)
    other.email = browser.email
    await other.log_in()
    await browser.post("/api/auth/logout")
    assert await other.is_logged_in()


async def test_a_session_ends_when_its_row_is_deleted_or_its_account(browser: Browser, database_url: str) -> None:
    for table in ("sessions WHERE user_id", "users WHERE id"):
        (await browser.log_in()).raise_for_status()
        assert await browser.is_logged_in()
        user = (await browser.get("/api/auth/me")).json()["id"]
        execute(database_url, f"DELETE FROM {table} = %s", user)  # noqa: S608 - a table of ours
        assert refusal_of(await browser.get("/api/auth/me")) == (401, "session_invalid")


async def test_deleting_ones_account_ends_all_of_its_sessions(browser: Browser, http: httpx.AsyncClient) -> None:
    other = Browser(http)
    other.email = browser.email
    await other.log_in()
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204
    assert refusal_of(await browser.get("/api/auth/me")) == (401, "unauthenticated")  # its cookie is cleared
    assert refusal_of(await other.get("/api/auth/me")) == (401, "session_invalid")


@pytest.mark.parametrize("token", ["x", "A" * 42, "A" * 44, "a.b.c", '"quoted"', "A" * 43, "%00", "x" * 5000])
async def test_a_cookie_of_no_session_is_refused(http: httpx.AsyncClient, token: str) -> None:
    refused = await http.get("/api/auth/me", headers={"Cookie": f"{NAME}={token}"})
    assert refusal_of(refused) == (401, "session_invalid")
    assert token not in refused.text or len(token) < 10


async def test_two_cookies_of_one_name_are_none(browser: Browser) -> None:
    token = browser.cookies[NAME]
    for tossed in (f"{NAME}=x; {NAME}={token}", f"{NAME}={token}; {NAME}=x", f"{NAME}={token}; {NAME}={'A' * 43}"):
        assert refusal_of(await browser.get("/api/auth/me", headers={"Cookie": tossed})) == (401, "session_invalid")
    assert await browser.is_logged_in()
    twice = await browser.get("/api/auth/me", headers={"Cookie": f"{NAME}={token}; {NAME}={token}"})
    assert twice.status_code == 200  # nobody else has set one


async def test_a_cookie_is_found_among_others(browser: Browser) -> None:
    token = browser.cookies[NAME]
    for around in (
        f"a=b;{NAME}={token}",
        f"cortexai=x; {NAME}={token}; c",
        f"x={NAME}=; {NAME}={token};",
        f";{NAME}={token}",
    ):
        assert (await browser.get("/api/auth/me", headers={"Cookie": around})).status_code == 200


@pytest.mark.parametrize("name", [NAME.lower(), NAME.upper(), "cortexai", f"\x85{NAME}", f"\xa0{NAME}", f"{NAME}\xa0"])
async def test_a_cookie_of_a_name_that_browsers_do_not_protect_is_none(browser: Browser, name: str) -> None:
    planted = f"{name}={browser.cookies[NAME]}".encode("latin-1")
    refused = await browser.get("/api/auth/me", headers={"Cookie": planted})
    assert refusal_of(refused) == (401, "unauthenticated")


async def test_a_bearer_goes_before_a_cookie(browser: Browser, http: httpx.AsyncClient) -> None:
    other = await logged_in_browser(http)
    credentials = {"email": other.email, "password": PASSWORD}
    token = (await http.post("/api/auth/login", json=credentials)).json()["access_token"]
    me = await browser.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["email"] == other.email
    # A page can't add this header to another's cookie, so nothing is asked of its origin.
    made = await browser.post("/api/chats", origin="https://evil.example", headers={"Authorization": f"Bearer {token}"})
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("authorization", "code"), [("Bearer nonsense", "token_invalid"), ("bearer", "unauthenticated")]
)
async def test_a_wrong_bearer_is_refused_though_the_cookie_is_good(
    browser: Browser, authorization: str, code: str
) -> None:
    refused = await browser.get("/api/auth/me", headers={"Authorization": authorization})
    assert refusal_of(refused) == (401, code)


async def test_a_session_is_no_bearer(browser: Browser) -> None:
    refused = await browser.http.get("/api/auth/me", headers={"Authorization": f"Bearer {browser.cookies[NAME]}"})
    assert refusal_of(refused) == (401, "token_invalid")


async def test_the_password_of_a_proxy_in_front_does_not_hide_the_cookie(browser: Browser) -> None:
    assert (await browser.get("/api/auth/me", headers={"Authorization": "Basic eDp4"})).status_code == 200


async def test_no_cache_keeps_what_a_cookie_has_shown(browser: Browser) -> None:
    assert (await browser.get("/api/chats")).headers["Cache-Control"] == "no-store"


async def test_a_user_has_so_many_sessions_and_the_oldest_ends(browser: Browser, database_url: str) -> None:
    user = (await browser.get("/api/auth/me")).json()["id"]
    execute(
        database_url,
        "INSERT INTO sessions (user_id, token_hash, last_used_at, expires_at)"
        " SELECT %s, sha256(%s || n::text::bytea), now() - make_interval(mins => n), now() + interval '1 day'"
        " FROM generate_series(1, 1000) n",
        *(user, str(user).encode()),
    )
    (await browser.log_in()).raise_for_status()
    count = "SELECT count(*), min(last_used_at) > now() - interval '50 minutes' FROM sessions WHERE user_id = %s"
    assert execute(database_url, count, user) == [(MAX_SESSIONS, True)]
    assert await browser.is_logged_in()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Connections of another process."""
    database = open_database(to_sqlalchemy(database_url), pool_size=10)
    yield database
    await database.dispose()


@pytest.fixture
def lookup(database: Database) -> SessionLookup:
    """Another process's look-up of sessions, which last for 30 days."""
    return SessionLookup(database, LIFETIMES)


async def test_the_bound_holds_for_those_who_log_in_at_once(
    browser: Browser, database: Database, database_url: str
) -> None:
    user = UserId((await browser.get("/api/auth/me")).json()["id"])

    async def begin_session() -> None:
        async with database.begin() as db:
            await lock_account(db, await find_own_credentials(db, user))
            await add_session(db, user, hash_token(new_token()), LIFETIMES, SessionClient(None, None))

    for _ in range(2):
        await asyncio.gather(*(begin_session() for _ in range(MAX_SESSIONS)))
        assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", user) == [(MAX_SESSIONS,)]


def set_back(database_url: str, token: str, minutes: int, days_left: float) -> None:
    """Let a session have been used so many minutes ago, and end in so many days."""
    execute(
        database_url,
        "UPDATE sessions SET last_used_at = now() - make_interval(mins => %s),"
        " expires_at = now() + make_interval(secs => %s) WHERE token_hash = %s",
        *(minutes, days_left * DAY, kept_hash(token)),
    )


def state_of(database_url: str, token: str) -> tuple[object, ...]:
    """Whether a session was used in the last minute, its days left, and the transaction that wrote its row."""
    (row,) = execute(
        database_url,
        "SELECT last_used_at > now() - interval '1 minute', round(extract(epoch FROM expires_at - now()) / 86400)::int,"
        " xmin::text FROM sessions WHERE token_hash = %s",
        kept_hash(token),
    )
    return row


async def test_a_new_session_lasts_as_long_as_the_setting_says(browser: Browser, database_url: str) -> None:
    assert state_of(database_url, browser.cookies[NAME])[:2] == (True, 30)


async def test_a_session_that_is_used_lasts_longer_and_is_seldom_written(
    database_url: str, database: Database, browser: Browser, lookup: SessionLookup
) -> None:
    token, user = browser.cookies[NAME], (await browser.get("/api/auth/me")).json()["id"]
    for minutes, days_left in ((4, 1), (6, 30)):
        set_back(database_url, token, minutes, 1)
        before = state_of(database_url, token)
        found = await asyncio.gather(*(lookup.find(token) for _ in range(100)))
        await lookup.finish()
        assert {session.user_id if session else None for session in found} == {user}
        after = state_of(database_url, token)
        assert after[1] == days_left
        assert (after == before) is (minutes == 4)
        assert after[0] is (minutes == 6)
    written = state_of(database_url, token)
    await asyncio.gather(*(lookup.find(token) for _ in range(100)))
    await lookup.finish()
    async with database.connect() as db:  # as another process, which found it due before this one extended it
        (session,) = (await find_sessions(db, [hash_token(token)])).values()
        await extend_sessions(db, [session.id], LIFETIMES)
    assert state_of(database_url, token) == written


async def test_an_api_that_ends_has_extended_the_sessions_that_it_saw(
    database_url: str, valkey: EmbeddedValkey, browser: Browser
) -> None:
    token = browser.cookies[NAME]
    set_back(database_url, token, 6, 1)
    settings = settings_for(database_url, valkey.url, "http://127.0.0.1:1", session_days=7)
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        assert (await http.get("/api/auth/me", headers={"Cookie": f"{NAME}={token}"})).status_code == 200
    assert state_of(database_url, token)[:2] == (True, 7)


async def test_a_session_that_was_not_used_for_so_long_has_ended_and_does_not_come_back(
    database_url: str, browser: Browser, lookup: SessionLookup
) -> None:
    token = browser.cookies[NAME]
    set_back(database_url, token, 60, -0.001)
    assert refusal_of(await browser.get("/api/auth/me")) == (401, "session_invalid")
    assert await lookup.find(token) is None
    await lookup.finish()
    assert state_of(database_url, token)[:2] == (False, 0)
