"""Accounts over HTTP: signing up, logging in, being somebody."""

import asyncio
import json
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from passlib.hash import bcrypt_sha256

from tests.conftest import SECRET
from tests.support.clients import PASSWORD, Client, refusal_of
from tests.support.turns import execute
from tests.unit.test_forged_tokens import FORGED


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
    assert response.json().keys() == {
        "id",
        "email",
        "created_at",
        "time_zone",
        "role",
        "has_password",
        "has_second_factor",
        "recovery_codes_left",
        "email_verified",
    }
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
    assert token["expires_in"] == 900
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


UNICODE = "pässwörd ｗｉｄｅ 😀"
LONG = "a battery of horses; " * 50


def multipart(fields: dict[str, str], boundary: str = "line") -> bytes:
    """A body of several parts, as browsers send them."""
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    )
    return f"{''.join(parts)}--{boundary}--\r\n".encode()


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF-8"'])
async def test_a_form_is_utf_8_however_it_is_sent(http: httpx.AsyncClient, charset: str) -> None:
    email = address()
    await sign_up(http, email, UNICODE)
    raw = f"grant_type=password&username={email}&password={UNICODE.replace(' ', '+')}".encode()
    encoded = f"username={quote(email)}&password={quote(UNICODE)}".encode()
    for kind, body in (
        ("application/x-www-form-urlencoded", raw),
        ("application/x-www-form-urlencoded", encoded),
        ("Application/X-WWW-Form-URLencoded", raw),
        ("multipart/form-data; boundary=line", multipart({"username": email, "password": UNICODE})),
    ):
        response = await http.post("/api/auth/login", content=body, headers={"Content-Type": kind + charset})
        assert response.status_code == 200, (kind, response.text)


@pytest.mark.parametrize("path", ["login", "signup"])
async def test_strangers_may_send_64_kb_and_no_more(http: httpx.AsyncClient, path: str) -> None:
    text = json.dumps({"email": address(), "password": PASSWORD}).encode()
    kind = {"Content-Type": "application/json"}
    sizes = (64 * 1024, 64 * 1024 + 1)
    answers = [await http.post(f"/api/auth/{path}", content=text.ljust(size), headers=kind) for size in sizes]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401 if path == "login" else 201, 413]


async def test_a_form_in_pieces_is_read_whole(http: httpx.AsyncClient) -> None:
    email = address()
    await sign_up(http, email, UNICODE)
    body = f"username={email}&password={UNICODE.replace(' ', '+')}".encode()

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(len(body)):
            yield body[place : place + 1]

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await http.post("/api/auth/login", content=pieces(), headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--line--"),
        ("multipart/form-data; boundary=", b"--line--"),
        ("multipart/form-data; boundary=line", b"x"),
        ("multipart/form-data; boundary=line", b"--line\r\n\r\nx\r\n--line--\r\n"),
        ("multipart/form-data; boundary=line", multipart({"username": "a@b.c"})),
        ("multipart/form-data; boundary=line", multipart({f"field{number}": "x" for number in range(11)})),
        ("multipart/form-data; boundary=line", multipart({"username": "a@b.c", "password": "x" * 20_000})),
        (
            "multipart/form-data; boundary=line",
            multipart({"username": "a@b.c"})[:-10] + b'\r\n--line\r\nContent-Disposition: form-data; name="password"; '
            b'filename="p"\r\n\r\nx\r\n--line--\r\n',
        ),
        ("application/x-www-form-urlencoded", b"username=a%40b.c&password=" + b"%ff" * 7_000),
        ("application/x-www-form-urlencoded", b"&".join(b"a=b" for _ in range(11))),
        ("application/x-www-form-urlencoded", b""),
        ("application/x-www-form-urlencoded", b"username=a%40b.c&password=correct%00horse"),
        ("application/x-www-form-urlencoded", b"username=a%40b.c&password=x&cookie=perhaps"),
    ],
)
async def test_a_form_that_can_not_be_read_is_422(http: httpx.AsyncClient, kind: str, body: bytes) -> None:
    response = await http.post("/api/auth/login", content=body, headers={"Content-Type": kind})
    assert response.status_code == 422, response.text
    assert response.json()["code"] == "validation_failed"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
async def test_a_field_that_is_there_twice_is_refused_by_name(http: httpx.AsyncClient, kind: str) -> None:
    fields = [("username", address()), ("password", "wrong horse"), ("password", "correct horse")]
    (await http.post("/api/auth/signup", json={"email": fields[0][1], "password": fields[2][1]})).raise_for_status()
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = "".join(part.format(name, value) for name, value in fields) + "--b--\r\n"
    body = urlencode(fields) if "urlencoded" in kind else parts
    refused = await http.post("/api/auth/login", content=body, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["field"]) == (422, "password")


@pytest.mark.parametrize("password", [b"abc%FFefgh123xx", b"abc\xfeefgh123xx", b"abc%C3"])
async def test_a_form_that_is_no_utf_8_is_refused(http: httpx.AsyncClient, password: bytes) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = await http.post("/api/auth/login", content=b"username=a%40example.com&password=" + password, headers=kind)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "form_invalid")


async def test_two_credentials_are_none(connect: Callable[[], Client]) -> None:
    client = connect()
    await client.sign_up()
    good = ("Authorization", client.http.headers.pop("Authorization"))
    for given in ([good, ("Authorization", "Bearer bad")], [good, good]):
        refused = await client.http.get("/api/auth/me", headers=given)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert (await client.http.get("/api/auth/me", headers=[good])).status_code == 200


@pytest.mark.parametrize("charset", ["utf-16", "unicode_escape", '"latin-1"', "utf-8; charset=unicode_escape"])
async def test_a_form_of_another_encoding_is_415(http: httpx.AsyncClient, charset: str) -> None:
    kind = f"multipart/form-data; boundary=line; charset={charset}"
    body = multipart({"username": "a@b.c", "password": "x"})
    response = await http.post("/api/auth/login", content=body, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("password", ["", "x" * 73, "x" * 1000, "x" * 1024, "\ufffd", "pa\u0301ss"])
async def test_a_wrong_password_of_any_kind_is_wrong(http: httpx.AsyncClient, password: str) -> None:
    email = address()
    await sign_up(http, email)
    assert (await log_in(http, email, password)).status_code == 401
    assert (await log_in(http, address(), password)).status_code == 401


@pytest.mark.parametrize("password", ["correct\0horse", "x" * 1025, '"\ud800"'], ids=["NUL", "too long", "surrogate"])
async def test_what_can_be_no_password_is_refused_by_name(http: httpx.AsyncClient, password: str) -> None:
    text = r'"\ud800"' if password.startswith('"') else json.dumps(password)
    for path in ("login", "signup"):
        body = f'{{"email": "{address()}", "password": {text}}}'
        response = await http.post(f"/api/auth/{path}", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["field"]) == (422, "password")


async def test_one_logs_in_with_a_password_and_an_address_in_another_spelling(http: httpx.AsyncClient) -> None:
    """What one keyboard writes as one character, another writes as a letter and a mark, and a third one in full width."""
    name = f"zoë-{uuid4().hex}"
    email, other_email = f"{name}@bücher.example.com", unicodedata.normalize("NFD", f"{name}@bücher.example.com")
    password, other_password = "crème brûlée 12", unicodedata.normalize("NFD", "crème　brûlée １２")
    assert (email, password) != (other_email, other_password)
    assert (await sign_up(http, email, password)).status_code == 201
    assert (await sign_up(http, other_email)).status_code == 409
    for address_, typed in ((email, other_password), (other_email, password), (other_email, other_password)):
        assert (await log_in(http, address_, typed)).status_code == 200


async def test_a_password_is_long_enough_in_every_spelling_or_in_none(http: httpx.AsyncClient) -> None:
    for password in ("é" * 7, "e\u0301" * 7, "\ufdfa"):
        refused = await sign_up(http, address(), password)
        assert (refused.status_code, refused.json()["field"]) == (422, "password")
    for password in ("éa" + "é" * 6, "e\u0301a" + "e\u0301" * 6):
        assert (await sign_up(http, address(), password)).status_code == 201


async def test_a_password_whose_characters_stand_for_too_many_is_refused_or_wrong(http: httpx.AsyncClient) -> None:
    email, password = address(), "\ufdfa" * 1024  # 18,432 characters in the normal form
    refused = await sign_up(http, email, password)
    assert (refused.status_code, refused.json()["field"]) == (422, "password")
    await sign_up(http, email)
    assert (await log_in(http, email, password)).status_code == 401
    assert (await log_in(http, address(), password)).status_code == 401


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
    [LONG[:8], LONG[:73], LONG[:1000], LONG[:1024], "pässwörd", "😀" * 1023 + "x", "  spaces  ", "tab\tand\nline"],
    ids=["8", "73", "1,000", "1,024", "umlauts", "4,096 bytes", "spaces", "control characters"],
)
async def test_any_password_of_8_to_1024_characters_works(http: httpx.AsyncClient, password: str) -> None:
    email = address()
    assert (await sign_up(http, email, password)).status_code == 201
    assert (await log_in(http, email, password)).status_code == 200


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("password1", "password_too_common"),
        ("PassWord1", "password_too_common"),
        ("987654321", "password_too_common"),
        ("admin1234", "password_too_common"),
        ("\u200b" * 8, "password_too_common"),
        ("{local}", "password_is_the_email"),
        ("{local}@example.com", "password_is_the_email"),
        ("CortexAI123", "password_is_the_product"),
    ],
)
async def test_a_password_that_others_try_first_is_refused_by_name(
    http: httpx.AsyncClient, password: str, code: str
) -> None:
    local = f"ada.{uuid4().hex}"
    body = {"email": f"{local}@example.com", "password": password.format(local=local)}
    refused = await http.post("/api/auth/signup", json=body)
    assert refusal_of(refused) == (422, code)
    assert refused.json()["field"] == "password"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (await http.post("/api/auth/login", json=body)).status_code == 401  # nothing was made


async def test_who_has_a_weak_password_from_before_logs_in(http: httpx.AsyncClient, database_url: str) -> None:
    email, weak = address(), bcrypt_sha256.using(rounds=4).hash("password1")
    await sign_up(http, email)
    execute(database_url, "UPDATE users SET password_hash = %s WHERE email = %s", weak, email)
    assert (await log_in(http, email, "password1")).status_code == 200


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


async def test_an_api_whose_clock_is_a_little_behind_understands_the_others(http: httpx.AsyncClient) -> None:
    account = (await sign_up(http, address())).json()
    now = int(time.time())
    for ahead, status in ((5, 200), (3600, 401)):
        token = changed(sub=str(account["id"]), iat=now + ahead, exp=now + ahead + 60)
        assert (await http.get("/api/auth/me", headers=bearer(token))).status_code == status


async def test_all_forged_tokens_are_told_the_same(http: httpx.AsyncClient) -> None:
    asked = [await http.get("/api/auth/me", headers=bearer(token)) for token in FORGED.values()]
    assert {(answer.status_code, answer.content, answer.headers["WWW-Authenticate"]) for answer in asked} == {
        (401, asked[0].content, asked[0].headers["WWW-Authenticate"])
    }
    assert asked[0].json()["code"] == "token_invalid"


async def test_no_more_errors_are_told_than_anybody_reads(connect: Callable[[], Client]) -> None:
    refused = await connect().http.post("/api/auth/signup", json={f"key{n}": 0 for n in range(900)})
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) == 20
    assert len(refused.content) < 10_000
