"""Who is let in: decided for every secured route in one place, before anything of the request's body is read."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.parser import Parser

import httpx
import psycopg
import pytest

from services.api.app import create_app
from tests.conftest import settings_for
from tests.support.clients import PASSWORD, Client, refusal_of

OPEN = {
    *("GET /", "GET /livez", "GET /readyz"),
    *("GET /api/auth/options", "GET /api/auth/oidc/{provider}/login", "GET /api/auth/oidc/{provider}/callback"),
    *("POST /api/auth/signup", "POST /api/auth/login", "POST /api/auth/refresh", "POST /api/auth/logout"),
    *("GET /api/auth/options", "POST /api/auth/password/forgot", "POST /api/auth/password/reset"),
}
GENERATION = "0198c0de-0000-7000-8000-000000000001"


def secured_routes() -> list[tuple[str, str]]:
    """(method, path) of every route that the OpenAPI document says is secured."""
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    return [
        (
            method.upper(),
            path.format(
                chat_id=1,
                message_id=1,
                generation_id=GENERATION,
                chat_name="a-chat",
                source_id=1,
                operation_id=GENERATION,
                response_id="resp_x",
                conversation_id="conv_x",
                item_id="added_1_1",
                key_id=1,
                provider="acme",
                identity_id=1,
                model="double",
                invite_id=1,
                session_id=1,
                user_id=1,
            ),
        )
        for path, methods in app.openapi()["paths"].items()
        for method, told in methods.items()
        if "security" in told
    ]


SECURED = secured_routes()
EVERY_SECURED_ROUTE = pytest.mark.parametrize(("method", "path"), SECURED)


@asynccontextmanager
async def endless(url: str, method: str, path: str, *headers: str) -> AsyncIterator[asyncio.StreamReader]:
    """A request whose body has begun and never ends."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        *headers,
    )
    writer.write("\r\n".join((*lines, "", '2\r\n{"\r\n')).encode())
    try:
        yield reader
    finally:
        writer.close()


async def refusal_in(answer: asyncio.StreamReader) -> tuple[bytes, str]:
    """The head and the code of a refusal, in the form of any door."""
    head = await answer.readuntil(b"\r\n\r\n")
    headers = Parser().parsestr(head.partition(b"\r\n")[2].decode())
    body = await answer.readexactly(int(headers["Content-Length"]))
    return head, headers["X-Error-Code"] or json.loads(body)["code"]


def test_all_routes_but_a_few_are_secured() -> None:
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1"))
    told = {
        f"{method.upper()} {path}": "security" in operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
    assert {name for name, is_secured in told.items() if not is_secured} == OPEN
    assert len(SECURED) > 15


@EVERY_SECURED_ROUTE
async def test_a_body_that_never_ends_is_refused_at_once_without_a_token(api: str, method: str, path: str) -> None:
    async with endless(api, method, path) as answer, asyncio.timeout(2):
        head, code = await refusal_in(answer)
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b'WWW-Authenticate: Bearer realm="cortexai"\r\n'.lower() in head.lower()
    assert b"x-request-id" in head.lower()
    assert code == "unauthenticated"


@pytest.mark.parametrize("token", ["x", "a.b.c", "[" * 10_000])
async def test_a_body_that_never_ends_is_refused_at_once_with_a_bad_token(api: str, token: str) -> None:
    async with endless(api, "POST", "/api/chats/1/messages", f"Authorization: Bearer {token}") as answer:
        async with asyncio.timeout(2):
            said = await answer.readuntil(b"}}")
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b'"code": "token_invalid"' in said


async def test_a_huge_body_without_a_token_is_refused_for_the_token(http: httpx.AsyncClient, api: str) -> None:
    async with endless(api, "POST", "/api/chats", "X-Padding: x") as answer, asyncio.timeout(2):
        assert (await answer.readline()).startswith(b"HTTP/1.1 401 ")
    reader, writer = await asyncio.open_connection(httpx.URL(api).host, httpx.URL(api).port)
    writer.write(b"POST /api/chats HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n\r\n")
    async with asyncio.timeout(2):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_a_body_that_never_ends_is_waited_for_when_its_sender_is_known(api: str, client: Client) -> None:
    authorization = f"Authorization: {client.http.headers['Authorization']}"
    async with endless(api, "POST", "/api/chats", authorization) as answer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await answer.read(1)


async def test_the_token_of_a_deleted_account_is_refused_by_every_secured_route(
    client: Client, database_url: str, api: str
) -> None:
    me = (await client.http.get("/api/auth/me")).json()["id"]
    assert (await client.http.get("/api/chats")).json() == []
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM users WHERE id = %s", (me,))
    authorization = client.http.headers["Authorization"]
    for method, path in SECURED:
        refused = await client.http.request(method, path)
        assert refusal_of(refused) == (401, "token_invalid"), path
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
        async with endless(api, method, path, f"Authorization: {authorization}") as answer, asyncio.timeout(2):
            assert (await answer.readline()).startswith(b"HTTP/1.1 401 "), path


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/openapi.json", "/docs"])
async def test_an_open_route_does_not_look_at_a_token(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path, headers={"Authorization": "Bearer nonsense"})
    assert response.status_code == 200


async def test_one_signs_up_and_logs_in_with_a_token_of_no_account(connect: Callable[[], Client]) -> None:
    client = connect()
    client.http.headers["Authorization"] = "Bearer nonsense"
    credentials = {"email": "nonsense@example.com", "password": PASSWORD}
    assert (await client.http.post("/api/auth/signup", json=credentials)).status_code == 201
    assert (await client.http.post("/api/auth/login", json=credentials)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/api/nowhere", 404),
        ("GET", "/api/chats/1/nowhere", 404),
        ("PUT", "/api/chats", 405),
        ("HEAD", "/api/events", 405),
        ("OPTIONS", "/api/chats", 405),
    ],
)
async def test_what_is_no_route_needs_no_token(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await http.request(method, path)).status_code == status


async def test_a_preflight_needs_no_token(http: httpx.AsyncClient) -> None:
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    response = await http.options("/api/chats/1/messages", headers=asked)
    assert response.status_code == 200


async def test_a_page_of_ours_may_read_that_it_is_not_let_in(http: httpx.AsyncClient) -> None:
    response = await http.post("/api/chats/1/messages", json={}, headers={"Origin": "http://localhost:3000"})
    assert response.status_code == 401
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
