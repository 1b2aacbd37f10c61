"""Logging in with tokens: what a login gives, how it goes on, and how it ends. And sessions as their user sees them."""

import asyncio
import re
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import jwt
import pytest

from tests.conftest import SECRET
from tests.integration.routes.test_auth import bearer
from tests.support.clients import PASSWORD, refusal_of
from tests.support.signed_in import Browser, logged_in_browser
from tests.support.turns import execute, logged

FROM_OFFICE = {"X-Forwarded-For": "203.0.113.7", "User-Agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/145.0"}
TOKEN_MEMBERS = {"access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"}


class Program(NamedTuple):
    """A program that has logged in with tokens."""

    http: httpx.AsyncClient
    email: str
    access: str
    refresh: str

    async def is_logged_in(self) -> bool:
        """Whether its access token names its user."""
        me = await self.http.get("/api/auth/me", headers=bearer(self.access))
        return me.status_code == 200 and me.json()["email"] == self.email

    async def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:  # noqa: ANN401
        """Ask with its access token."""
        return await self.http.request(method, path, headers=bearer(self.access), **sent)

    @property
    def session_id(self) -> int:
        """The session, as the access token names it."""
        return int(said_by(self.access)["sid"])


def said_by(token: str) -> dict[str, Any]:
    """The claims of an access token."""
    claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], audience="cortexai-api")
    return claims


async def log_in(http: httpx.AsyncClient, email: str, **headers: str) -> Program:
    """Log in with tokens."""
    response = await http.post("/api/auth/login", json={"email": email, "password": PASSWORD}, headers=headers)
    told = response.raise_for_status().json()
    return Program(http, email, told["access_token"], told["refresh_token"])


async def refreshed(http: httpx.AsyncClient, token: str, **headers: str) -> httpx.Response:
    """Exchange a refresh token."""
    return await http.post("/api/auth/refresh", json={"refresh_token": token}, headers=headers)


@pytest.fixture
async def email(http: httpx.AsyncClient) -> str:
    """The address of a new account."""
    made = f"{uuid4().hex}@example.com"
    (await http.post("/api/auth/signup", json={"email": made, "password": PASSWORD})).raise_for_status()
    return made


@pytest.fixture
async def program(http: httpx.AsyncClient, email: str) -> Program:
    """A program of a new user."""
    return await log_in(http, email)


async def test_a_login_gives_an_access_token_for_minutes_and_a_refresh_token(
    http: httpx.AsyncClient, email: str, database_url: str
) -> None:
    credentials = {"username": email, "password": PASSWORD}
    for sent in ({"json": {"email": email, "password": PASSWORD}}, {"data": {**credentials, "grant_type": "password"}}):
        told = (await http.post("/api/auth/login", **sent)).json()  # type: ignore[arg-type]
        assert told.keys() == TOKEN_MEMBERS
        assert (told["token_type"], told["expires_in"], told["refresh_expires_in"]) == ("bearer", 900, 30 * 24 * 3600)
        assert re.fullmatch("crt_[A-Za-z0-9_-]{75}", told["refresh_token"])
        sid = said_by(told["access_token"])["sid"]
        assert execute(database_url, "SELECT kind FROM sessions WHERE id = %s", int(sid)) == [("tokens",)]


async def test_a_refresh_token_gives_the_next_tokens_of_the_same_session(program: Program) -> None:
    response = await refreshed(program.http, program.refresh)
    assert (response.status_code, response.json().keys()) == (200, TOKEN_MEMBERS)
    assert response.headers["Cache-Control"] == "no-store"
    told = response.json()
    assert told["refresh_token"] != program.refresh
    following = program._replace(access=told["access_token"], refresh=told["refresh_token"])
    assert await following.is_logged_in()
    assert following.session_id == program.session_id
    assert (await refreshed(program.http, following.refresh)).status_code == 200


async def test_tabs_that_refresh_at_once_get_the_same_token(program: Program) -> None:
    answers = await asyncio.gather(*(refreshed(program.http, program.refresh) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_whatever_is_wrong_with_a_refresh_token_is_told_in_the_same_words(
    program: Program, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    http, ended, used = program.http, await log_in(program.http, program.email), program.refresh
    (await http.post("/api/auth/logout", json={"refresh_token": ended.refresh})).raise_for_status()
    mine = (await refreshed(http, used)).json()["refresh_token"]
    execute(database_url, "UPDATE refresh_tokens SET used_at = used_at - interval '31 seconds'")
    reasons = {
        "no token": "nonsense",
        "an access token": program.access,
        "of no session": f"crt_{'A' * 75}",
        "ended": ended.refresh,
        "stolen": used,
        "the owner's": mine,
    }
    refusals = {name: await refreshed(http, token) for name, token in reasons.items()}
    assert {name: refusal_of(refused) for name, refused in refusals.items()} == dict.fromkeys(
        reasons, (401, "refresh_token_invalid")
    )
    assert len({refused.content for refused in refusals.values()}) == 1
    assert len({refused.headers["WWW-Authenticate"] for refused in refusals.values()}) == 1
    assert not await program.is_logged_in()  # the access token ends with its session
    assert len(logged(caplog, "refresh_token_reused")) == 1
    for secret in (used, used[4:36], used[36:], mine[36:], program.access):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "refresh_token"),
        ({"refresh_token": None}, "refresh_token"),
        ({"refresh_token": 1}, "refresh_token"),
        ({"refresh_token": "x" * 1025}, "refresh_token"),
        ({"refresh_token": "crt_\0"}, "refresh_token"),
        ({"refresh_token": "x", "scope": "all"}, "scope"),
        ([], "body"),
    ],
    ids=str,
)
async def test_a_body_that_holds_no_refresh_token_is_refused_by_name(
    http: httpx.AsyncClient, body: object, field: str
) -> None:
    refused = await http.post("/api/auth/refresh", json=body)
    assert (*refusal_of(refused), refused.json()["field"]) == (422, "validation_failed", field)


async def test_the_access_token_of_an_ended_session_is_refused_at_once(program: Program, database_url: str) -> None:
    assert await program.is_logged_in()
    for end in ("expires_at = now()", "expires_at = now() + interval '1 day'"):
        execute(database_url, f"UPDATE sessions SET {end} WHERE id = %s", program.session_id)  # noqa: S608 - ours
        assert await program.is_logged_in() is ("day" in end)
    execute(database_url, "DELETE FROM sessions WHERE id = %s", program.session_id)
    refused = await program.ask("GET", "/api/auth/me")
    assert refusal_of(refused) == (401, "token_invalid")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


async def test_the_session_of_another_user_makes_no_token_good(http: httpx.AsyncClient, program: Program) -> None:
    other = (await (await logged_in_browser(http)).get("/api/auth/me")).json()["id"]
    claims = said_by(program.access)
    header = jwt.get_unverified_header(program.access)
    same, forged = (jwt.encode({**claims, **to}, SECRET, headers=header) for to in ({}, {"sub": str(other)}))
    assert (await http.get("/api/auth/me", headers=bearer(same))).status_code == 200
    assert (await http.get("/api/auth/me", headers=bearer(forged))).status_code == 401


async def test_a_token_of_the_release_before_is_good_while_its_account_is(program: Program, database_url: str) -> None:
    claims = said_by(program.access)
    kept = {name: value for name, value in claims.items() if name not in {"sid", "client_id"}}
    before = {**kept, "typ": "access", "exp": claims["iat"] + 3600}
    old = program._replace(access=jwt.encode(before, SECRET, algorithm="HS256"))
    (await program.ask("POST", "/api/auth/logout-all")).raise_for_status()
    assert await old.is_logged_in()
    sessions = (await old.ask("GET", "/api/auth/sessions")).json()
    assert sessions == []
    assert (await old.ask("POST", "/api/auth/logout")).status_code == 204
    assert refusal_of(await old.ask("DELETE", "/api/auth/me")) == (403, "reauthentication_required")
    execute(database_url, "DELETE FROM users WHERE id = %s", int(claims["sub"]))
    assert not await old.is_logged_in()


async def test_a_token_that_is_used_lets_its_session_last(program: Program, database_url: str) -> None:
    execute(
        database_url,
        "UPDATE sessions SET last_used_at = now() - interval '6 minutes', expires_at = now() + interval '1 day'"
        " WHERE id = %s",
        program.session_id,
    )
    assert await program.is_logged_in()
    lasts = "SELECT expires_at > now() + interval '29 days' FROM sessions WHERE id = %s"
    async with asyncio.timeout(5):
        while execute(database_url, lasts, program.session_id) != [(True,)]:
            await program.is_logged_in()


async def test_logging_out_ends_the_session_that_the_token_names_and_no_other(
    http: httpx.AsyncClient, program: Program
) -> None:
    by_bearer, by_refresh = await log_in(http, program.email), await log_in(http, program.email)
    assert (await by_bearer.ask("POST", "/api/auth/logout")).status_code == 204
    body = {"refresh_token": by_refresh.refresh}
    assert (await http.post("/api/auth/logout", json=body)).status_code == 204
    logged_in = [await each.is_logged_in() for each in (by_bearer, by_refresh, program)]
    assert logged_in == [False, False, True]
    assert (await refreshed(http, by_bearer.refresh)).status_code == 401


async def test_logging_out_without_a_session_changes_nothing(http: httpx.AsyncClient, program: Program) -> None:
    for token in ("x", f"crt_{'A' * 75}", program.access):
        assert (await http.post("/api/auth/logout", json={"refresh_token": token})).status_code == 204
        assert (await http.post("/api/auth/logout", headers=bearer(f"{token}x"))).status_code == 204
    for body in (None, {}, {"refresh_token": None}):
        assert (await http.post("/api/auth/logout", json=body)).status_code == 204
    assert await program.is_logged_in()


async def test_logging_out_everywhere_ends_all_sessions_of_the_user_and_nobody_elses(
    http: httpx.AsyncClient, program: Program
) -> None:
    stranger, browser = await logged_in_browser(http), Browser(http)
    browser.email = program.email
    (await browser.log_in()).raise_for_status()
    other = await log_in(http, program.email)
    assert (await program.ask("POST", "/api/auth/logout-all", json={"keep_this": True})).status_code == 204
    assert [await each.is_logged_in() for each in (program, other, browser)] == [True, False, False]
    (await browser.log_in()).raise_for_status()
    assert (await browser.post("/api/auth/logout-all")).status_code == 204
    assert browser.cookies == {}
    assert [await each.is_logged_in() for each in (program, browser, stranger)] == [False, False, True]


async def test_a_browser_may_end_all_sessions_but_its_own(http: httpx.AsyncClient, program: Program) -> None:
    browser = Browser(http)
    browser.email = program.email
    (await browser.log_in()).raise_for_status()
    assert (await browser.post("/api/auth/logout-all", json={"keep_this": True})).status_code == 204
    assert [await each.is_logged_in() for each in (program, browser)] == [False, True]


async def test_a_user_sees_where_the_account_is_logged_in(http: httpx.AsyncClient, program: Program) -> None:
    browser = Browser(http)
    browser.email = program.email
    credentials = {"email": program.email, "password": PASSWORD, "cookie": True}
    (await browser.post("/api/auth/login", json=credentials, headers=FROM_OFFICE)).raise_for_status()
    newest, first = (await program.ask("GET", "/api/auth/sessions")).json()
    assert (newest["kind"], newest["device"], newest["network"]) == ("cookie", "Firefox on Windows", "203.0.113.0/24")
    assert (first["kind"], first["id"], first["network"]) == ("tokens", program.session_id, "127.0.0.0/24")
    assert first["device"].startswith("python-httpx/")
    assert [newest["is_current"], first["is_current"]] == [False, True]
    assert {"created_at", "last_used_at", "expires_at"} <= newest.keys()
    of_browser = (await browser.get("/api/auth/sessions")).json()
    assert [each["is_current"] for each in of_browser] == [True, False]


async def test_a_refresh_tells_from_where_the_session_is_used(program: Program) -> None:
    (await refreshed(program.http, program.refresh, **FROM_OFFICE)).raise_for_status()
    (session,) = (await program.ask("GET", "/api/auth/sessions")).json()
    assert (session["device"], session["network"]) == ("Firefox on Windows", "203.0.113.0/24")


async def test_a_user_ends_one_session_and_nobody_elses(http: httpx.AsyncClient, program: Program) -> None:
    other, stranger = await log_in(http, program.email), await logged_in_browser(http)
    foreign = (await stranger.get("/api/auth/sessions")).json()[0]["id"]
    assert (await program.ask("DELETE", f"/api/auth/sessions/{other.session_id}")).status_code == 204
    assert not await other.is_logged_in()
    for missing in (other.session_id, foreign, 2**62):
        refused = await program.ask("DELETE", f"/api/auth/sessions/{missing}")
        assert refusal_of(refused) == (404, "session_not_found")
    assert await program.is_logged_in()
    assert await stranger.is_logged_in()


async def test_a_session_that_has_ended_by_itself_is_not_listed_and_can_not_be_ended(
    http: httpx.AsyncClient, program: Program, database_url: str
) -> None:
    other = await log_in(http, program.email)
    execute(database_url, "UPDATE sessions SET expires_at = now() WHERE id = %s", other.session_id)
    assert [each["id"] for each in (await program.ask("GET", "/api/auth/sessions")).json()] == [program.session_id]
    assert (await program.ask("DELETE", f"/api/auth/sessions/{other.session_id}")).status_code == 404


async def test_a_program_that_logs_in_at_each_run_throws_nobody_out(
    http: httpx.AsyncClient, program: Program, database_url: str
) -> None:
    browser = Browser(http)
    browser.email = program.email
    (await browser.log_in()).raise_for_status()
    ((user,),) = execute(database_url, "SELECT user_id FROM sessions WHERE id = %s", program.session_id)
    execute(database_url, "UPDATE sessions SET last_used_at = now() - interval '1 day' WHERE user_id = %s", user)
    execute(
        database_url,
        "INSERT INTO sessions (user_id, token_hash, kind, expires_at)"
        " SELECT %s, sha256(%s || n::text::bytea), 'tokens', now() + interval '1 day' FROM generate_series(1, 60) n",
        *(user, str(user).encode()),
    )
    newest = await log_in(http, program.email)
    assert [await each.is_logged_in() for each in (newest, browser, program)] == [True] * 3
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE user_id = %s", user) == [(50,)]


async def test_a_ticket_ends_with_the_session_that_got_it(program: Program) -> None:
    chat = (await program.ask("POST", "/api/chats")).json()["id"]
    ticket = (await program.ask("POST", "/api/auth/stream-ticket", json={"chat_id": chat})).json()["ticket"]
    url = f"/api/chats/{chat}/stream?ticket={ticket}"
    assert (await program.http.get(url)).status_code == 204
    (await program.ask("POST", "/api/auth/logout")).raise_for_status()
    assert refusal_of(await program.http.get(url)) == (401, "ticket_invalid")
