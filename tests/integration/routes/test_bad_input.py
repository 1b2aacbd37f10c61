"""Hostile and broken requests: each is a 4xx that names what was wrong, and none of them leaves a trace."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.ids import MAX_BIGINT
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.integration.routes.test_problems import problem_of
from tests.support.clients import NO_TLS, PASSWORD, Client
from tests.support.texts import INVISIBLE

TABLES = ("users", "chats", "messages", "generations")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Route:
    """A route that takes a body. `text` is its text field, `rest` what else it needs."""

    method: str
    path: str
    text: str
    rest: dict[str, str]
    limit: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def body(self, **changed: object) -> dict[str, object]:
        """A good body, changed."""
        return {**self.rest, self.text: "correct horse", **changed}


ROUTES = [
    Route("POST", "/api/auth/signup", "password", {"email": "new@example.com"}, 1024),
    Route("POST", "/api/auth/login", "password", {"email": "new@example.com"}, 1024),
    Route("POST", "/api/chats", "title", {}, 200),
    Route("PATCH", "/api/chats/{chat}", "title", {}, 200),
    Route("POST", "/api/chats/{chat}/messages", "content", {}, 32_000),
]
MESSAGES = ROUTES[-1]
FIELDS = pytest.mark.parametrize("route", ROUTES, ids=str)


@pytest.fixture(scope="module")
async def client(api: str) -> AsyncIterator[Client]:
    """A user."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as http:
        client = Client(http)
        await client.sign_up("user@example.com")
        yield client


@pytest.fixture(scope="module")
async def nobody(api: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is not logged in."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as http:
        yield http


@pytest.fixture(scope="module")
async def chat(client: Client) -> int:
    """The user's chat."""
    return await client.new_chat()


@pytest.fixture(scope="module")
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the tests' own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _nothing_is_written(database: psycopg.Connection, chat: int) -> Iterator[None]:
    """Every table holds after each of these tests what it held before, to the last column."""
    before = everything(database)
    yield
    assert everything(database) == before


def everything(database: psycopg.Connection) -> list[tuple[str]]:
    """All rows of all tables."""
    query = " UNION ALL ".join(f"SELECT t::text FROM {table} t" for table in TABLES)  # noqa: S608 - four known names
    return sorted(database.execute(query.encode()).fetchall())


async def send(client: Client, route: Route, chat: int, content: bytes, **headers: str) -> httpx.Response:
    """Send these bytes to a route."""
    path = route.path.format(chat=chat)
    return await client.http.request(route.method, path, content=content, headers={**JSON, **headers})


# Bodies that are no JSON, or not the JSON that is asked for


def nested(depth: int) -> bytes:
    """JSON of this depth."""
    return b'{"x":' * depth + b"1" + b"}" * depth


BROKEN = {
    "nothing": b"",
    "spaces": b"  ",
    "cut off": b'{"content": "hel',
    "single quotes": b"{'content': 'hello'}",
    "two values": b"{} {}",
    "a comma too many": b'{"content": "hello",}',
    "invalid UTF-8": b'{"content": "\xff\xfe"}',
    "a NUL byte": b'{"content": "a\x00b"}',
    "deeply nested objects": nested(6_000),
    "deeply nested lists": b"[" * 60_000,
    "a number of 10,000 digits": b'{"content": ' + b"1" * 10_000 + b"}",
    "a list": b'[{"content": "hello"}]',
    "a text": b'"hello"',
    "a number": b"7",
    "true": b"true",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
}


@pytest.mark.parametrize(
    ("route", "broken"),
    # A chat may be made without a body.
    [
        (route, broken)
        for route in ROUTES
        for broken in BROKEN
        if (str(route), broken) != ("POST /api/chats", "nothing")
    ],
    ids=str,
)
async def test_a_body_that_is_no_object_of_json_is_refused(
    client: Client, chat: int, route: Route, broken: str
) -> None:
    response = await send(client, route, chat, BROKEN[broken])
    assert response.status_code == 422
    problem = problem_of(response)
    assert problem["code"] == "validation_failed"
    assert problem["field"] in {"body", route.text, "x", "email"}


@FIELDS
@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
    ],
)
async def test_a_body_of_another_type_is_refused_for_its_type(
    client: Client, chat: int, route: Route, kind: str | None
) -> None:
    body, headers = json.dumps(route.body()).encode(), {"Content-Type": kind} if kind else {}
    response = await client.http.request(route.method, route.path.format(chat=chat), content=body, headers=headers)
    problem = problem_of(response)
    if "login" in route.path and kind is not None and "form" in kind:
        assert response.status_code == 422
        return
    assert (response.status_code, problem["code"]) == (415, "unsupported_media_type")
    assert problem["field"] == "Content-Type"


@FIELDS
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
async def test_a_list_in_json_is_not_refused_for_its_type(client: Client, chat: int, route: Route, kind: str) -> None:
    response = await send(client, route, chat, b"[]", **{"Content-Type": kind})
    assert (response.status_code, problem_of(response)["field"]) == (422, "body")


# Values that a field can't have

VALUES = {
    "null": b"null",
    "a number": b"7",
    "a huge number": b"1e999",
    "a negative id": b"-1",
    "NaN": b"NaN",
    "infinity": b"Infinity",
    "a boolean": b"true",
    "a list": b'["x"]',
    "an object": b'{"$ne": ""}',
    "a NUL": rb'"correct\u0000horse"',
    "a lone high surrogate": rb'"correct horse \ud800"',
    "a lone low surrogate": rb'"\udc00 correct horse"',
    "surrogates in the wrong order": rb'"correct horse \udc00\ud800"',
}


@pytest.mark.parametrize(
    ("route", "value"),
    # A chat may be made without a title.
    [(route, value) for route in ROUTES for value in VALUES if (str(route), value) != ("POST /api/chats", "null")],
    ids=str,
)
async def test_a_value_that_can_not_be_kept_is_refused_by_its_fields_name(
    client: Client, chat: int, route: Route, value: str
) -> None:
    good = json.dumps(route.body(**{route.text: "@"})).encode()
    response = await send(client, route, chat, good.replace(b'"@"', VALUES[value]))
    assert response.status_code == 422
    problem = problem_of(response)
    assert problem["code"] == "validation_failed"
    assert problem["field"] == problem["errors"][0]["field"] == route.text


@FIELDS
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (rb"correct\u0000horse", "the NUL character (character 8)"),
        (rb"correct horse \ud800", "half a surrogate pair, U+D800 (character 15)"),
        (rb"\udc00 correct horse", "half a surrogate pair, U+DC00 (character 1)"),
    ],
)
async def test_a_character_that_can_not_be_kept_is_named_with_its_place(
    client: Client, chat: int, route: Route, value: bytes, what: str
) -> None:
    good = json.dumps(route.body(**{route.text: "@"})).encode()
    problem = problem_of(await send(client, route, chat, good.replace(b'"@"', b'"' + value + b'"')))
    assert problem["detail"] == f"{route.text}: must not contain {what}"


@FIELDS
@pytest.mark.parametrize("extra", ["user_id", "role", "id", "status", "__proto__", "<script>"])
async def test_what_is_not_asked_for_is_refused_by_its_name(
    client: Client, chat: int, route: Route, extra: str
) -> None:
    response = await send(client, route, chat, json.dumps(route.body(**{extra: 1})).encode())
    assert response.status_code == 422
    assert problem_of(response)["field"] == extra


@FIELDS
async def test_a_text_that_is_too_long_is_refused(client: Client, chat: int, route: Route) -> None:
    response = await send(client, route, chat, json.dumps(route.body(**{route.text: "x" * (route.limit + 1)})).encode())
    assert response.status_code == 422
    problem = problem_of(response)
    assert problem["field"] == route.text
    assert str(route.limit) in problem["detail"]


@pytest.mark.parametrize("route", [ROUTES[2], ROUTES[3], MESSAGES], ids=str)
@pytest.mark.parametrize("blank", ["", " ", "\n\t\r ", "\u00a0\u2003\u3000", *INVISIBLE.values()])
async def test_a_text_that_says_nothing_is_refused(client: Client, chat: int, route: Route, blank: str) -> None:
    response = await send(client, route, chat, json.dumps(route.body(**{route.text: blank})).encode())
    assert response.status_code == 422
    assert problem_of(response)["field"] == route.text


async def test_a_message_over_the_limit_has_a_code_of_its_own(client: Client, chat: int) -> None:
    response = await client.post_async(chat, "x" * 32_001)
    assert problem_of(response)["code"] == "content_too_long"


async def test_the_limit_is_a_setting(database_url: str, valkey: EmbeddedValkey, client: Client, chat: int) -> None:
    async with serve(settings_for(database_url, valkey.url, NOBODY, message_max_chars=10)) as url:
        response = await client.http.post(f"{url}/api/chats/{chat}/messages", json={"content": "x" * 11})
    assert problem_of(response)["code"] == "content_too_long"
    assert "10" in response.json()["detail"]


async def test_an_address_that_is_taken_is_refused_by_its_fields_name(client: Client) -> None:
    body = {"email": "USER@example.com", "password": PASSWORD}
    response = await client.http.post("/api/auth/signup", json=body)
    assert response.status_code == 409
    problem = problem_of(response)
    assert (problem["code"], problem["field"]) == ("email_taken", "email")


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"username=x",
        b"password=x",
        b"username=%00&password=x",
        b"username=x&password=%00",
        b"&" * 5_000,
    ],
)
async def test_a_broken_login_form_is_refused(client: Client, form: bytes) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await client.http.post("/api/auth/login", content=form, headers=kind)
    assert (response.status_code, problem_of(response)["code"]) == (422, "validation_failed")
    assert response.json()["field"] in {"email", "password"}


async def test_a_login_form_with_too_many_fields_is_refused_whole(client: Client) -> None:
    form = {str(number): "x" for number in range(11)}
    response = await client.http.post("/api/auth/login", data=form)
    problem = problem_of(response)
    assert (response.status_code, problem["code"], problem["field"]) == (422, "validation_failed", "body")
    assert "10" in problem["detail"]


# Ids and places that are none

CHAT_ROUTES = [
    ("GET", "/api/chats/{id}"),
    ("PATCH", "/api/chats/{id}"),
    ("DELETE", "/api/chats/{id}"),
    ("GET", "/api/chats/{id}/messages"),
    ("POST", "/api/chats/{id}/messages"),
    ("GET", "/api/chats/{id}/stream"),
]
GOOD_BODIES = {"PATCH": {"title": "Mine"}, "POST": {"content": "hello"}}
NO_IDS = [
    "x",
    "0",
    "-1",
    str(MAX_BIGINT + 1),
    str(-(2**64)),
    "9" * 5_000,
    "1.5",
    "1e3",
    "0x1",
    "%00",
    "%ED%A0%80",
    "NaN",
    "'--",
]


@pytest.mark.parametrize(
    ("method", "path", "chat_id"),
    # Every route reads its id by the same type: some of the ids will do for the others.
    [(*CHAT_ROUTES[0], chat_id) for chat_id in NO_IDS]
    + [(*route, chat_id) for route in CHAT_ROUTES[1:] for chat_id in NO_IDS[:4]],
    ids=lambda value: value[:24],
)
async def test_what_is_no_id_of_a_chat_is_refused_by_name(client: Client, method: str, path: str, chat_id: str) -> None:
    response = await client.http.request(method, path.format(id=chat_id), json=GOOD_BODIES.get(method))
    assert response.status_code == 422
    problem = problem_of(response)
    assert (problem["code"], problem["field"]) == ("validation_failed", "chat_id")


@pytest.mark.parametrize(("method", "path"), CHAT_ROUTES)
async def test_an_id_that_could_be_a_chats_but_is_not_is_not_found(client: Client, method: str, path: str) -> None:
    response = await client.http.request(method, path.format(id=MAX_BIGINT), json=GOOD_BODIES.get(method))
    assert response.status_code == 404
    assert problem_of(response)["code"] == "chat_not_found"


@pytest.mark.parametrize("path", ["/api/generations/{id}", "/api/generations/{id}/stream"])
@pytest.mark.parametrize(
    "generation_id", ["x", "0", "-1", "%00", "%ED%A0%80", "0198c0de-0000-7000-8000-00000000000g", "f" * 33]
)
async def test_what_is_no_id_of_a_generation_is_refused_by_name(client: Client, path: str, generation_id: str) -> None:
    response = await client.http.get(path.format(id=generation_id))
    assert response.status_code == 422
    assert problem_of(response)["field"] == "generation_id"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/chats?limit=0", "limit"),
        ("/api/chats?limit=-1", "limit"),
        ("/api/chats?limit=101", "limit"),
        (f"/api/chats?limit={2**63}", "limit"),
        ("/api/chats?limit=x", "limit"),
        ("/api/chats?limit=NaN", "limit"),
        ("/api/chats?limit=", "limit"),
        ("/api/chats?cursor=x", "cursor"),
        ("/api/chats?cursor=%00", "cursor"),
        ("/api/chats?cursor=%ED%A0%80", "cursor"),
        ("/api/chats?cursor=ü", "cursor"),
        ("/api/chats?cursor=MjAyNi0wMS0wMlQwMzowNDowNSsyMzo1OS8x", "cursor"),  # 2026-01-02T03:04:05+23:59/1
        (f"/api/chats?cursor={'x' * 5_000}", "cursor"),
        ("/api/chats/{chat}/messages?after=-1", "after"),
        (f"/api/chats/{{chat}}/messages?after={2**63}", "after"),
        ("/api/chats/{chat}/messages?after=x", "after"),
        ("/api/chats/{chat}/messages?limit=101", "limit"),
    ],
    ids=lambda value: value[:40],
)
async def test_a_page_that_can_not_be_is_refused_by_name(client: Client, chat: int, path: str, field: str) -> None:
    response = await client.http.get(path.format(chat=chat))
    assert response.status_code == 422
    assert problem_of(response)["field"] == field


@pytest.mark.parametrize("event_id", ["x", "-1", "1:1-1", "9" * 4_000, "\xff"])
async def test_a_last_event_id_that_is_none_is_no_error(client: Client, chat: int, event_id: str) -> None:
    headers = [(b"Last-Event-ID", event_id.encode("latin-1"))]
    response = await client.http.get(f"/api/chats/{chat}/stream", headers=headers)
    assert response.status_code == 204


# Requests of nobody

PROTECTED = [
    ("GET", "/api/auth/me"),
    ("GET", "/api/chats"),
    ("POST", "/api/chats"),
    *((method, path.format(id=1)) for method, path in CHAT_ROUTES),
    ("GET", "/api/generations/0198c0de-0000-7000-8000-000000000001"),
    ("GET", "/api/generations/0198c0de-0000-7000-8000-000000000001/stream"),
]


NO_TOKENS: list[tuple[bytes | None, str]] = [
    (None, "unauthenticated"),
    (b"Bearer x", "token_invalid"),
    (b"Bearer", "unauthenticated"),
    (b"Basic dXNlcjpwYXNz", "unauthenticated"),
    (b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "token_invalid"),
    (b"Bearer \xff\xfe", "token_invalid"),
    (b"Bearer " + b"[" * 10_000, "token_invalid"),
]


@pytest.mark.parametrize(
    ("method", "path", "authorization", "code"),
    # Every route reads its token by the same dependency: two of them show that it has it.
    [(*PROTECTED[0], *token) for token in NO_TOKENS]
    + [(*route, *token) for route in PROTECTED[1:] for token in NO_TOKENS[:2]],
)
async def test_a_request_without_a_good_token_is_refused(
    nobody: httpx.AsyncClient, method: str, path: str, authorization: bytes | None, code: str
) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization)]
    response = await nobody.request(method, path, json=GOOD_BODIES.get(method), headers=headers)
    assert response.status_code == 401
    assert problem_of(response)["code"] == code
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="cortexai"')


# Bodies that are too large


async def exchange(url: str, *parts: bytes) -> bytes:
    """Send these bytes on a connection, no end of the request among them, and read the answer's beginning."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for part in parts:
            writer.write(part)
        await writer.drain()
        async with asyncio.timeout(10):
            return await reader.readuntil(b"}}")
    finally:
        writer.close()


def head_of(client: Client, route: Route, chat: int, framing: bytes) -> bytes:
    """The beginning of a request, up to its body."""
    return (
        f"{route.method} {route.path.format(chat=chat)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {client.http.headers['Authorization']}\r\n".encode()
        + framing
        + b"\r\n\r\n"
    )


@FIELDS
async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(
    client: Client, chat: int, api: str, route: Route
) -> None:
    answer = await exchange(api, head_of(client, route, chat, b"Content-Length: 52428800"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "payload_too_large"' in answer


@FIELDS
async def test_a_body_that_turns_out_too_large_is_refused_before_it_is_read_whole(
    client: Client, chat: int, api: str, route: Route
) -> None:
    chunk = b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n"
    answer = await exchange(api, head_of(client, route, chat, b"Transfer-Encoding: chunked"), *[chunk] * 17)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "payload_too_large"' in answer


async def test_fifty_megabytes_are_refused_whole(client: Client, chat: int) -> None:
    response = await client.http.post(f"/api/chats/{chat}/messages", json={"content": "x" * 50_000_000})
    assert response.status_code == 413
    assert problem_of(response)["code"] == "payload_too_large"


@pytest.mark.parametrize(
    "request_line", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_what_is_no_http_does_not_hurt(client: Client, api: str, request_line: bytes) -> None:
    address = urlsplit(api)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request_line)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert b"500" not in answer.partition(b"\r\n")[0]
    assert (await client.http.get("/livez")).status_code == 200
