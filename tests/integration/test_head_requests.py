"""HEAD: the headers of GET's answer, without its body."""

import httpx
import pytest

from tests.support.clients import Client
from tests.support.raw_http import connected

OF_THE_MOMENT = {"date", "x-request-id"}


def lasting(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in OF_THE_MOMENT}


@pytest.mark.parametrize(
    "path",
    ["/", "/livez", "/readyz", "/openapi.json", "/docs", "/api/chats", "/api/auth/me", "/api/chats/0", "/nowhere"],
)
async def test_head_tells_what_get_does(client: Client, path: str) -> None:
    got = await client.http.get(path)
    head = await client.http.head(path)
    assert head.status_code == got.status_code
    assert lasting(head.headers) == lasting(got.headers)
    assert head.content == b""


async def test_head_has_to_say_who_asks(api: str) -> None:
    async with httpx.AsyncClient(base_url=api) as http:
        assert (await http.head("/api/chats")).status_code == 401


async def test_the_connection_goes_on_after_head(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await socket.answer(head_only=True)).status == 200
        await socket.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await socket.answer()).problem == {"status": "ok"}


async def test_head_opens_no_stream(client: Client, chat: int) -> None:
    for path in ("/api/events", f"/api/chats/{chat}/stream", f"/api/chat/{chat}/stream"):
        refused = await client.http.head(path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET"), path
