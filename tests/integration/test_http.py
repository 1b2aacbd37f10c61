"""HTTP/1 over raw sockets: of clients that are not browsers."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest

from services.worker.runtime import Worker
from tests.support.clients import Client, numbered
from tests.support.turns import post

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
WITHIN = 10


async def talk(api: str, *pieces: bytes, responses: int = 1) -> list[tuple[bytes, bytes]]:
    """Send these pieces, each in a packet of its own. Returns so many responses, as heads and bodies."""
    host, _, port = api.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(WITHIN):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)  # or the kernel sends both as one
        answered = [await response(reader) for _ in range(responses)]
        writer.close()
    return answered


async def response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await reader.readexactly(length)
    assert b"transfer-encoding" not in head
    return head, await reader.read()


def request(client: Client, line: str, body: bytes = b"", more: str = "") -> bytes:
    """A request of the user's."""
    head = f"{line}\r\nHost: x\r\nAuthorization: {client.http.headers['Authorization']}\r\n{more}"
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{head}{length}\r\n".encode() + body


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(client: Client, worker: Worker, api: str) -> None:
    posted = await post(client, "[[tokens=30]]")
    asking = asyncio.create_task(talk(api, request(client, f"GET {posted.stream_url} HTTP/1.0")))
    await worker.attempts.run(posted.generation_id)
    ((head, body),) = await asking
    assert head.startswith(b"http/1.1 200")
    assert b"connection: close" in head
    assert head.count(b"connection:") == 1
    assert body.startswith(b": open\nretry: 1000\n")
    assert body.endswith(b"data: [DONE]\n\n")
    parts = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    assert "".join(part.get("delta", "") for part in parts) == numbered(30)


@pytest.mark.parametrize("path", ["/livez", "/api/chats", "/nowhere"])
async def test_a_client_of_http_1_0_gets_other_bodies_whole(client: Client, api: str, path: str) -> None:
    ((head, body),) = await talk(api, request(client, f"GET {path} HTTP/1.0"))
    assert json.loads(body) is not None
    assert f"content-length: {len(body)}".encode() in head


@pytest.mark.parametrize("cuts", [(), (0,), (3,), (-1,), (0, 5, 9)], ids=str)
async def test_an_offer_of_http_2_is_ignored_and_the_body_is_read(
    client: Client, api: str, cuts: Sequence[int]
) -> None:
    body = b'{"title": "Tides"}'
    whole = request(client, "POST /api/chats HTTP/1.1", body, H2C)
    head = len(whole) - len(body)
    places = [0, *(head + (cut if cut >= 0 else len(body) + cut) for cut in cuts), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(places)]
    ((answered, chat),) = await talk(api, *pieces)
    assert answered.startswith(b"http/1.1 201")
    assert json.loads(chat)["title"] == "Tides"


async def test_a_connection_goes_on_after_an_offer_of_http_2(client: Client, api: str) -> None:
    one = request(client, "POST /api/chats HTTP/1.1", b'{"title": "One"}', H2C)
    two = request(client, "POST /api/chats HTTP/1.1", b'{"title": "Two"}')
    none = request(client, "GET /livez HTTP/1.1", more=H2C)
    for pieces in ([one, two, none], [one + two + none], [one[:40], one[40:] + one, two]):
        *made, last = await talk(api, *pieces, responses=3)
        titles = [json.loads(body).get("title") for _, body in made]
        assert titles in (["One", "Two"], ["One", "One"])
        assert last[0].startswith((b"http/1.1 200", b"http/1.1 201"))


async def test_a_client_may_send_any_number_of_offers_at_once(api: str) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answered = await talk(api, one * 1000, responses=1000)
    assert {head.partition(b"\r\n")[0] for head, _ in answered} == {b"http/1.1 200 ok"}


async def test_what_is_no_http_is_refused(api: str) -> None:
    ((head, _),) = await talk(api, b"HELLO\r\n\r\n")
    assert head.startswith(b"http/1.1 400")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("more", ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"], ids=["plain", "upgrade"])
async def test_a_client_that_takes_the_api_for_a_proxy_is_refused(api: str, version: str, more: str) -> None:
    asked = f"CONNECT example.com:443 {version}\r\nHost: example.com:443\r\n{more}\r\n".encode()
    for pieces in ([asked, b"\x16\x03\x01"], [asked[:30], asked[30:]], [asked + b"\x16\x03\x01"]):
        ((head, body),) = await talk(api, *pieces)
        assert head.startswith(b"http/1.1 400")
        assert json.loads(body)["detail"] == "This is no proxy."
