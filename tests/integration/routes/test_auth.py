"""Accounts over HTTP: signing up, logging in, being somebody."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest

from tests.conftest import SECRET
from tests.support.clients import PASSWORD, Client


def address() -> str:
    """An e-mail address that nobody has."""
    return f"{uuid4().hex}@example.com"


async def sign_up(http: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    """Try to make an account."""
    return await http.post("/api/auth/signup", json={"email": email, "password": password})


async def log_in(http: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    """Try to log in."""
    return await http.post("/api/auth/login", json={"email": email, "password": password})


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


async def test_signing_up_makes_an_account_and_never_shows_its_password(http: httpx.AsyncClient) -> None:
    email = address()
    response = await sign_up(http, email)
    assert response.status_code == 201
    assert response.json().keys() == {"id", "email", "created_at", "time_zone"}
    assert response.json()["email"] == email
    assert response.json()["created_at"].endswith(("Z", "+00:00"))


async def test_passwords_are_kept_as_hashes_only(http: httpx.AsyncClient, database_url: str) -> None:
    email = address()
    await sign_up(http, email)
    with psycopg.connect(database_url) as connection:
        (kept,) = connection.execute("SELECT password_hash FROM users WHERE email = %s", (email,)).fetchall()
    assert kept[0].startswith("$bcrypt-sha256$")
    assert PASSWORD not in kept[0]


async def test_an_address_has_one_account_in_whatever_case(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email)
    again = await sign_up(http, email.upper())
    assert again.status_code == 409
    problem = again.json()
    assert (problem["code"], problem["field"]) == ("email_taken", "email")


async def test_of_many_who_sign_up_with_an_address_at_once_one_gets_it(http: httpx.AsyncClient) -> None:
    email = address()
    statuses = [response.status_code for response in await asyncio.gather(*(sign_up(http, email) for _ in range(5)))]
    assert sorted(statuses) == [201, 409, 409, 409, 409]


@pytest.mark.parametrize("spelling", [str, str.upper, str.title])
async def test_one_logs_in_with_the_address_in_any_case(
    http: httpx.AsyncClient, spelling: Callable[[str], str]
) -> None:
    email = address()
    await sign_up(http, email)
    assert (await log_in(http, spelling(email))).status_code == 200


@pytest.mark.parametrize("domain", ["xn--bcher-kva.example.com", "bücher.example.com", "EXAMPLE.COM"])
async def test_one_logs_in_with_the_address_as_one_wrote_it(http: httpx.AsyncClient, domain: str) -> None:
    email = f"{uuid4().hex}@{domain}"
    assert (await sign_up(http, email)).status_code == 201
    assert (await log_in(http, email)).status_code == 200


async def test_a_token_is_a_bearer_token_that_tells_its_lifetime(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email)
    token = (await log_in(http, email)).json()
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == 3600
    claims = jwt.decode(token["access_token"], SECRET, algorithms=["HS256"], audience="cortexai-api")
    assert claims["exp"] - claims["iat"] == token["expires_in"]


async def test_a_token_is_not_to_be_stored_on_its_way(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email)
    assert (await log_in(http, email)).headers["Cache-Control"] == "no-store"


async def test_one_logs_in_by_the_password_form_too(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email)
    form = {"grant_type": "password", "username": email, "password": PASSWORD, "scope": "", "client_id": "x"}
    response = await http.post("/api/auth/login", data=form)
    assert response.status_code == 200
    me = await http.get("/api/auth/me", headers=bearer(response.json()["access_token"]))
    assert me.json()["email"] == email


async def test_a_wrong_password_and_an_unknown_address_are_told_in_the_same_words(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email)
    wrong, unknown = await log_in(http, email, "wrong horse battery"), await log_in(http, address())
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.content == unknown.content
    assert wrong.json()["code"] == "credentials_invalid"
    assert wrong.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"]
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer ")


async def test_a_password_of_one_account_does_not_open_another(http: httpx.AsyncClient) -> None:
    mine, theirs = address(), address()
    await sign_up(http, mine, "my own password")
    await sign_up(http, theirs, "their own password")
    assert (await log_in(http, theirs, "my own password")).status_code == 401


@pytest.mark.parametrize(
    "password",
    ["x" * 8, "x" * 73, "x" * 1000, "x" * 1024, "pässwörd", "😀" * 1024, "  spaces  ", "tab\tand\nline"],
    ids=["8", "73", "1,000", "1,024", "umlauts", "4,096 bytes", "spaces", "control characters"],
)
async def test_any_password_of_8_to_1024_characters_works(http: httpx.AsyncClient, password: str) -> None:
    email = address()
    assert (await sign_up(http, email, password)).status_code == 201
    assert (await log_in(http, email, password)).status_code == 200


@pytest.mark.parametrize("password", ["", "x" * 7, "x" * 1025, "correct\0horse", 12345678, None, ["x" * 8]])
async def test_any_other_password_is_refused_by_name(
    http: httpx.AsyncClient, password: str | int | list[str] | None
) -> None:
    response = await http.post("/api/auth/signup", json={"email": address(), "password": password})
    assert response.status_code == 422
    assert response.json()["field"] == "password"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "x",
        "@example.com",
        "x@",
        "x@localhost",
        "a b@example.com",
        "x\0@example.com",
        "x@example.com\n.org",
        7,
        None,
    ],
)
async def test_what_is_no_address_is_refused_by_name(http: httpx.AsyncClient, email: str | int | None) -> None:
    response = await http.post("/api/auth/signup", json={"email": email, "password": PASSWORD})
    assert response.status_code == 422
    assert response.json()["field"] == "email"


@pytest.mark.parametrize("extra", ["id", "role", "is_admin", "user_id"])
async def test_nobody_makes_themselves_somebody_else(http: httpx.AsyncClient, extra: str) -> None:
    body = {"email": address(), "password": PASSWORD, extra: 1}
    response = await http.post("/api/auth/signup", json=body)
    assert response.status_code == 422
    assert response.json()["field"] == extra


async def test_me_is_the_account_of_the_token(connect: Callable[[], Client]) -> None:
    one, other = connect(), connect()
    emails = [await one.sign_up(), await other.sign_up()]
    assert [(await who.http.get("/api/auth/me")).json()["email"] for who in (one, other)] == emails


def changed(**claims: Any) -> str:  # noqa: ANN401
    """A well-signed token with other claims."""
    ours = {"sub": "1", "typ": "access", "iss": "cortexai", "aud": "cortexai-api", "iat": 1, "exp": 2, "jti": "x"}
    return jwt.encode({**ours, **claims}, SECRET, algorithm="HS256")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp4"}]
)
async def test_without_a_token_one_is_asked_for_one(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await http.get("/api/auth/me", headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="cortexai"'  # RFC 6750 §3.1: no error, no code


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "null", changed(), changed(typ="refresh", iat=1, exp=2**33)], ids=lambda token: token[:12]
)
async def test_with_a_bad_token_one_is_told_so(http: httpx.AsyncClient, token: str) -> None:
    response = await http.get("/api/auth/me", headers=bearer(token))
    assert response.status_code == 401
    assert response.json()["code"] == "token_invalid"
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert len(token) < 10 or token not in response.text + response.headers["WWW-Authenticate"]


async def test_no_more_errors_are_told_than_anybody_reads(connect: Callable[[], Client]) -> None:
    refused = await connect().http.post("/api/auth/signup", json={f"key{n}": 0 for n in range(10_000)})
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) == 20
    assert len(refused.content) < 10_000
