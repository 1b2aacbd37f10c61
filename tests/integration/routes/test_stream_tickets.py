"""Tickets for streams: for clients that can send no header, and for one stream only."""

import time
from typing import Any

import httpx
import jwt
import pytest

from services.api.app import create_app
from services.api.auth.principal import StreamOf
from services.api.auth.signing_keys import SigningKeys
from services.api.auth.stream_tickets import StreamTickets
from services.api.dependencies import SecuredRoutes
from shared.ids import UserId
from tests.conftest import SECRET, settings_for
from tests.integration.routes.test_principal import SECURED
from tests.support.clients import Client, logged_in, refusal_of
from tests.support.feeds import open_tab
from tests.support.signed_in import logged_in_browser
from tests.support.turns import post

# The AI SDK has nothing to put a ticket into.
STREAMS = [
    path
    for method, path in SECURED
    if method == "GET" and path.endswith(("/stream", "/events")) and not path.startswith("/api/chat/")
]
GENERATION = "0198c0de-0000-7000-8000-000000000001"


@pytest.fixture
def reader(http: httpx.AsyncClient) -> httpx.AsyncClient:
    """What sends no header of its own: a page of another origin with an EventSource."""
    return http


async def ticket_for(user: Client, **body: int | str) -> str:
    """A ticket."""
    response = await user.http.post("/api/auth/stream-ticket", json=body)
    ticket: str = response.raise_for_status().json()["ticket"]
    return ticket


async def status_of(http: httpx.AsyncClient, url: str) -> tuple[int, str]:
    """The status of a stream and, where it is refused, the code."""
    async with http.stream("GET", url) as response:
        if response.status_code < 400:
            return response.status_code, ""
        await response.aread()
        return response.status_code, response.json()["code"]


async def test_a_ticket_tells_how_long_it_is_good(user: Client) -> None:
    chat = await user.new_chat()
    response = await user.http.post("/api/auth/stream-ticket", json={"chat_id": chat})
    assert (response.status_code, response.json().keys()) == (200, {"ticket", "expires_in"})
    assert response.json()["expires_in"] == 900
    assert response.headers["Cache-Control"] == "no-store"
    said = jwt.decode(response.json()["ticket"], SECRET, algorithms=["HS256"], audience="cortexai-streams")
    assert said["exp"] - said["iat"] == 900


async def test_a_chats_ticket_reads_the_chats_stream_any_number_of_times(
    user: Client, reader: httpx.AsyncClient
) -> None:
    chat = await user.new_chat()
    url = f"/api/chats/{chat}/stream?ticket={await ticket_for(user, chat_id=chat)}"
    for _ in range(3):
        assert await status_of(reader, url) == (204, "")
    await post(user, "Hello", chat)
    for _ in range(3):
        async with reader.stream("GET", url) as response:
            assert response.status_code == 200
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_a_generations_ticket_reads_the_generations_stream(user: Client, reader: httpx.AsyncClient) -> None:
    posted = await post(user, "Hello")
    ticket = await ticket_for(user, generation_id=str(posted.generation_id))
    assert await status_of(reader, f"{posted.stream_url}?ticket={ticket}") == (200, "")


async def test_one_who_is_logged_in_by_cookie_gets_tickets_too(http: httpx.AsyncClient) -> None:
    browser = await logged_in_browser(http)
    chat = (await browser.post("/api/chats")).json()["id"]
    ticket = (await browser.post("/api/auth/stream-ticket", json={"chat_id": chat})).json()["ticket"]
    assert await status_of(http, f"/api/chats/{chat}/stream?ticket={ticket}") == (204, "")


async def test_a_ticket_of_another_stream_is_refused(user: Client, reader: httpx.AsyncClient) -> None:
    posted, other = await post(user, "Hello"), await post(user, "Hello")
    urls = {
        "chat": f"/api/chats/{posted.chat_id}/stream",
        "generation": posted.stream_url,
        "other chat": f"/api/chats/{other.chat_id}/stream",
        "other generation": other.stream_url,
    }
    tickets = {
        "chat": await ticket_for(user, chat_id=posted.chat_id),
        "generation": await ticket_for(user, generation_id=str(posted.generation_id)),
        "feed": await ticket_for(user),
    }
    for name, ticket in tickets.items():
        for place, url in urls.items():
            expected = (200, "") if name == place else (401, "ticket_mismatch")
            assert await status_of(reader, f"{url}?ticket={ticket}") == expected, (name, place)


async def test_one_gets_tickets_for_streams_of_ones_own_only(api: str, user: Client) -> None:
    posted = await post(user, "Hello")
    async with logged_in(api) as other:
        for body, code in (
            ({"chat_id": posted.chat_id}, "chat_not_found"),
            ({"generation_id": str(posted.generation_id)}, "generation_not_found"),
            ({"chat_id": 2**62}, "chat_not_found"),
            ({"generation_id": GENERATION}, "generation_not_found"),
        ):
            refused = await other.http.post("/api/auth/stream-ticket", json=body)
            assert refusal_of(refused) == (404, code)


@pytest.mark.parametrize(
    "body",
    [
        {"chat_id": None},
        {"generation_id": None},
        {"chat_id": 1, "generation_id": GENERATION},
        {"chat_id": None, "generation_id": None},
        {"chat_id": 0},
        {"chat_id": 2**63},
        {"chat_id": "x"},
        {"generation_id": "x"},
        {"chat": 1},
        [],
        "chat",
    ],
    ids=str,
)
async def test_a_request_that_names_no_stream_gets_no_ticket(user: Client, body: Any) -> None:  # noqa: ANN401
    refused = await user.http.post("/api/auth/stream-ticket", json=body)
    assert refusal_of(refused) == (422, "validation_failed")


async def test_without_a_body_the_ticket_is_for_the_feed(user: Client) -> None:
    for response in (
        await user.http.post("/api/auth/stream-ticket"),
        await user.http.post("/api/auth/stream-ticket", json={}),
    ):
        said = jwt.decode(response.json()["ticket"], SECRET, algorithms=["HS256"], audience="cortexai-streams")
        assert (said["kind"], said["id"]) == ("events", "")


def forged(**changed: Any) -> str:  # noqa: ANN401
    """A well-signed ticket for chat 1 of user 1 that says something else."""
    now = int(time.time())
    ours = {
        "sub": "1",
        "typ": "stream_ticket",
        "iss": "cortexai",
        "aud": "cortexai-streams",
        "iat": now,
        "exp": now + 60,
    }
    return jwt.encode({**ours, "kind": "chat", "id": "1", **changed}, SECRET, algorithm="HS256")


BAD = {
    "none": "",
    "nonsense": "nonsense",
    "expired": forged(iat=1, exp=2),
    "too long": forged(exp=int(time.time()) + 10**6),
    "unsigned": jwt.encode({"sub": "1"}, "", algorithm="none"),
    "another secret": StreamTickets(SigningKeys.of("x" * 32), 900).issue(UserId(1), StreamOf("chat", "1"), 1),
    "account that never was": forged(sub=str(2**62)),
    "session that never was": forged(sid=str(2**62)),
}


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_ticket_is_refused_also_beside_a_good_cookie(http: httpx.AsyncClient, path: str, name: str) -> None:
    browser = await logged_in_browser(http)
    refused = await browser.get(path, params={"ticket": BAD[name]})
    assert refusal_of(refused) == (401, "ticket_invalid")
    assert BAD[name] not in refused.text or name == "none"
    assert BAD[name] not in str(refused.headers) or name == "none"


def test_there_are_streams() -> None:
    assert len(STREAMS) == 3


async def test_several_tickets_are_none(user: Client, reader: httpx.AsyncClient) -> None:
    chat = await user.new_chat()
    ticket = await ticket_for(user, chat_id=chat)
    url = f"/api/chats/{chat}/stream?ticket={ticket}&ticket={ticket}"
    assert await status_of(reader, url) == (401, "ticket_invalid")


async def test_a_ticket_opens_nothing_but_a_stream(user: Client, reader: httpx.AsyncClient) -> None:
    chat = await user.new_chat()
    ticket = await ticket_for(user, chat_id=chat)
    routes = [(method, path.replace("/1", f"/{chat}")) for method, path in SECURED if path not in STREAMS]
    assert (("POST", f"/api/chats/{chat}/messages")) in routes
    for method, path in routes:
        for headers, code in (({}, "unauthenticated"), ({"Authorization": f"Bearer {ticket}"}, "token_invalid")):
            refused = await reader.request(method, path, params={"ticket": ticket}, headers=headers)
            assert refusal_of(refused) == (401, code), path
    cookie = {"Cookie": f"__Host-cortexai={ticket}"}
    refused = await reader.get("/api/auth/me", headers=cookie)
    assert refusal_of(refused) == (401, "session_invalid")


async def test_a_token_or_a_session_is_no_ticket(user: Client, http: httpx.AsyncClient) -> None:
    chat = await user.new_chat()
    browser = await logged_in_browser(http)
    token = user.token
    for wrong in (token, browser.cookies["__Host-cortexai"]):
        assert await status_of(http, f"/api/chats/{chat}/stream?ticket={wrong}") == (401, "ticket_invalid")


async def test_a_bearer_goes_before_a_ticket(user: Client) -> None:
    chat = await user.new_chat()
    assert (await user.http.get(f"/api/chats/{chat}/stream?ticket=nonsense")).status_code == 204


async def test_a_ticket_ends_with_its_chat_and_its_account(api: str, http: httpx.AsyncClient) -> None:
    async with logged_in(api) as user:
        posted = await post(user, "Hello")
        of_chat = f"/api/chats/{posted.chat_id}/stream?ticket={await ticket_for(user, chat_id=posted.chat_id)}"
        ticket = await ticket_for(user, generation_id=str(posted.generation_id))
        of_generation = f"{posted.stream_url}?ticket={ticket}"
        await user.http.delete(f"/api/chats/{posted.chat_id}")
        assert await status_of(http, of_chat) == (404, "chat_not_found")
        assert await status_of(http, of_generation) == (404, "generation_not_found")
        chat = await user.new_chat()
        url = f"/api/chats/{chat}/stream?ticket={await ticket_for(user, chat_id=chat)}"
        assert await status_of(http, url) == (204, "")
        (await user.http.delete("/api/auth/me")).raise_for_status()
        assert await status_of(http, url) == (401, "ticket_invalid")


async def test_no_ticket_cookie_or_token_is_ever_logged(
    user: Client, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("httpx", "httpcore"):  # the client's, which is the test's
        caplog.set_level("CRITICAL", name)
    caplog.set_level("DEBUG")
    browser = await logged_in_browser(http)
    chat = await user.new_chat()
    ticket = await ticket_for(user, chat_id=chat)
    cookie, token = browser.cookies["__Host-cortexai"], user.token
    for query in (f"ticket={ticket}", f"ticket={ticket}&ticket=x", f"ticket={ticket}&after=x&limit=x"):
        for path in (f"/api/chats/{chat}/stream", "/api/chats/x/stream", f"/api/chats/{chat}/stream/", "/nowhere"):
            await http.get(f"{path}?{query}")
        await user.http.get(f"/api/chats/{chat}/messages?{query}")
    await browser.get("/api/chats")
    await browser.post("/api/auth/logout")
    assert f"/api/chats/{chat}/stream" in caplog.text
    for secret in (ticket, ticket.rpartition(".")[2], cookie, token):
        assert secret not in caplog.text


def test_streams_take_tickets_and_nothing_else_does() -> None:
    ours = SecuredRoutes(
        create_app(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1", "http://127.0.0.1:1")).routes
    )
    asked = {route: ours.access({"path": route[1], "method": route[0]}) for route in SECURED}
    taking = {route for route, access in asked.items() if access is not None and access.takes_ticket}
    assert None not in asked.values()
    assert taking == {("GET", path) for path in STREAMS}
    assert ours.access({"path": "/nowhere", "method": "GET"}) is None


async def test_a_ticket_for_the_feed_reads_the_feed_of_its_user(user: Client, reader: httpx.AsyncClient) -> None:
    ticket = await ticket_for(user)
    async with open_tab(reader, query=f"?ticket={ticket}") as tab:
        assert (await tab.next()).part == {"type": "ready"}
        chat = await user.new_chat()
        (created,) = await tab.until("chat.created")
        assert created.part["chat_id"] == chat
    assert await status_of(reader, f"/api/chats/{chat}/stream?ticket={ticket}") == (401, "ticket_mismatch")
    of_chat = await ticket_for(user, chat_id=chat)
    assert await status_of(reader, f"/api/events?ticket={of_chat}") == (401, "ticket_mismatch")
