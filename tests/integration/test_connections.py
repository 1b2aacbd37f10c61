"""Connections that are too many, too slow, or never read: the API goes on for everybody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from socket import SO_SNDBUF, SOL_SOCKET, create_server

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.api.http1.connections import ConnectionLimits, Connections
from services.api.http1.early_answers import LINGER_SECONDS
from services.api.http1.protocol import LINGER_PAUSE, MAX_PASSED_OVER, HttpProtocol
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client
from tests.support.raw_http import Socket, ask, connected

HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
LIVEZ = HEAD + b"\r\n"
LOGIN = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SECONDS = 0.4
PER_NETWORK = 3
IN_ALL = 12
ELSEWHERE = "127.0.0.2"
"""An address that is no trusted proxy's."""


@pytest.fixture(scope="module")
async def api(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API that is short of time and of connections."""
    settings = settings_for(
        make_database(),
        valkey.url,
        "http://127.0.0.1:1",
        head_timeout_seconds=SECONDS,
        body_timeout_seconds=SECONDS,
        send_timeout_seconds=SECONDS,
        max_connections=IN_ALL,
        network_max_connections=PER_NETWORK,
    )
    async with serve(settings) as url:
        yield url


async def answers(api: str, source: str | None = None) -> bool:
    """Whether the API answers a new connection."""
    async with connected(api, source) as socket:
        await socket.send(LIVEZ)
        return (await socket.answer()).status == 200


async def test_a_connection_on_which_nothing_comes_is_closed(api: str) -> None:
    async with connected(api) as socket:
        assert await socket.rest() == b""


@pytest.mark.parametrize("sent", [b"G", HEAD, HEAD + b"X"], ids=["byte", "headers", "half a header"])
async def test_a_head_that_does_not_end_is_given_up(api: str, sent: bytes) -> None:
    async with connected(api) as socket:
        await socket.send(sent)
        answer = await socket.answer()
        assert (answer.status, answer.problem["code"]) == (408, "request_timeout")
        assert await socket.rest() == b""


async def trickle(socket: Socket, byte: bytes) -> None:
    """Send a byte again and again, quicker than a silence is noticed."""
    while True:
        await socket.send(byte)
        await asyncio.sleep(SECONDS / 8)


async def flood(socket: Socket, data: bytes) -> None:
    """Send it again and again, for as long as a connection may linger."""
    async with asyncio.timeout(LINGER_SECONDS + 10):
        while True:
            await socket.send(data)
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("sent", "byte", "status"),
    [
        (HEAD + b"X: ", b"x", 408),
        (LOGIN + b"Content-Length: 1000\r\n\r\n", b" ", 408),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x", 408),
    ],
    ids=["head", "body", "chunk's extension"],
)
async def test_a_request_that_trickles_is_given_up(api: str, sent: bytes, byte: bytes, status: int) -> None:
    async with connected(api) as socket:
        await socket.send(sent)
        trickling = asyncio.create_task(trickle(socket, byte))
        assert (await socket.answer()).status == status
        trickling.cancel()


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n3\r\n{"], ids=["length", "chunks"]
)
async def test_a_body_that_does_not_end_is_given_up(api: str, framing: bytes) -> None:
    async with connected(api) as socket:
        await socket.send(LOGIN + framing)
        answer = await socket.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await socket.rest() == b""


async def test_line_ends_keep_no_connection_open(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(LIVEZ)
        assert (await socket.answer()).status == 200
        trickling = asyncio.create_task(trickle(socket, b"\r\n"))
        assert await socket.rest() == b""
        trickling.cancel()


async def test_a_connection_may_be_idle_between_two_requests(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(LIVEZ)
        assert (await socket.answer()).status == 200
        await asyncio.sleep(2 * SECONDS)  # longer than a head may take
        await socket.send(LIVEZ)
        assert (await socket.answer()).status == 200


async def test_a_client_that_takes_no_answers_is_cut_off(api: str) -> None:
    async with connected(api) as socket:
        socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await flood(socket, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_a_network_has_a_share_and_the_longest_idle_makes_room(api: str) -> None:
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(api, ELSEWHERE)) for _ in range(PER_NETWORK + 1)]
        for socket in idle[1:]:
            await socket.send(LIVEZ)
            assert (await socket.answer()).status == 200
        assert await idle[0].rest() == b""
        assert await answers(api, ELSEWHERE)  # in the place of the next one
        assert await idle[1].rest() == b""


async def test_idle_connections_of_many_networks_leave_the_api_serving(api: str) -> None:
    async with AsyncExitStack() as stack:
        for number in range(3 * IN_ALL):
            await stack.enter_async_context(connected(api, f"127.0.1.{number}"))
        assert await answers(api)
        assert await answers(api, ELSEWHERE)


async def test_a_connection_that_is_being_answered_is_not_given_up_for_a_new_one(api: str) -> None:
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS) as http:
        client = Client(http)
        await client.sign_up()
    bearer = f"Authorization: {http.headers['Authorization']}\r\n\r\n".encode()
    events = b"GET /api/events HTTP/1.1\r\nHost: x\r\n" + bearer
    async with AsyncExitStack() as stack:
        streams = []
        for number in range(IN_ALL):
            source = f"127.0.2.{number // PER_NETWORK}"
            streams.append(await stack.enter_async_context(connected(api, source)))
            await streams[-1].send(events)
            assert (await streams[-1].answer()).status == 200
        async with connected(api, "127.0.2.0") as refused:
            answer = await refused.answer()
        assert (answer.status, answer.problem["code"]) == (429, "too_many_connections")
        async with connected(api) as refused:
            answer = await refused.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        for stream in streams:
            assert await stream.reader.readuntil(b"\n\n")
        streams[0].writer.transport.abort()
        async with asyncio.timeout(5):
            while not await answers(api):  # noqa: ASYNC110 - the API's side offers no event
                await asyncio.sleep(0.01)


async def test_a_pipelined_request_that_is_being_answered_is_not_given_up(api: str) -> None:
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS) as http:
        await Client(http).sign_up()
    bearer = f"Authorization: {http.headers['Authorization']}\r\n\r\n".encode()
    async with AsyncExitStack() as stack:
        for _ in range(PER_NETWORK):
            socket = await stack.enter_async_context(connected(api, "127.0.3.1"))
            await socket.send(LIVEZ + b"GET /api/events HTTP/1.1\r\nHost: x\r\n" + bearer)
            assert (await socket.answer()).status == 200
            assert (await socket.answer()).status == 200
        async with connected(api, "127.0.3.1") as refused:
            assert (await refused.answer()).status == 429


async def test_a_body_behind_a_stream_is_not_late_while_nobody_reads_it(api: str) -> None:
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS) as http:
        await Client(http).sign_up()
    bearer = f"Authorization: {http.headers['Authorization']}\r\n\r\n".encode()
    async with connected(api) as socket:
        await socket.send(b"GET /api/events HTTP/1.1\r\nHost: x\r\n" + bearer)
        assert (await socket.answer()).status == 200
        await socket.send(LOGIN + b"Content-Length: 1000\r\n\r\n{")
        with pytest.raises(TimeoutError):  # longer than a body may take, with two looks at it
            await asyncio.wait_for(socket.reader.read(-1), SECONDS + 2)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_an_answer_that_is_not_sent_whole_is_not_given_up(header: bytes) -> None:
    made = asyncio.Event()

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(1_000_000)})
        made.set()

    config = uvicorn.Config(answer, log_config=None)
    config.load()
    connections = Connections(ConnectionLimits(in_all=1, per_network=9, head_seconds=1), lambda _address: False)
    listener = create_server(("127.0.0.1", 0))
    listener.setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)  # so that the kernel can't take all of an answer
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(config, ServerState(), {}, connections=connections), sock=listener
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with server, connected(url) as slow:
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await slow.send(HEAD + header + b"\r\n")
        await made.wait()
        async with connected(url) as refused:
            assert (await refused.answer()).status == 503
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await slow.answer()).body) == 1_000_000
        async with asyncio.timeout(5):
            while not await answers(url):  # noqa: ASYNC110 - the API's side offers no event
                await asyncio.sleep(0.01)


async def test_a_long_body_that_nobody_reads_is_read_slowly_and_ends_the_connection(api: str) -> None:
    began = time.monotonic()
    async with connected(api) as socket:
        await socket.send(b"POST /api/chats HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = await socket.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        with pytest.raises(ConnectionError):
            await flood(socket, b"1\r\n \r\n" * 10_000)
    # An event loop reads up to 256 KB at a time, after each of which others have their turn.
    assert time.monotonic() - began > MAX_PASSED_OVER / (256 * 1024) * LINGER_PAUSE


async def test_a_client_that_asks_first_is_not_told_to_go_on(api: str) -> None:
    async with connected(api) as socket:
        more = b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
        await socket.send(b"POST /api/chats HTTP/1.1\r\nHost: x\r\n" + more)
        answer = await socket.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await socket.rest() == b""


async def test_a_client_that_asks_first_is_told_to_go_on(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(LOGIN + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await socket.answer()).status == 100
        await socket.send(b"{}")
        assert (await socket.answer()).status == 422


async def test_a_short_body_that_nobody_reads_ends_no_connection(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(b"POST /api/chats HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert (await socket.answer()).status == 401
        await socket.send(b"{}" + LIVEZ)
        assert (await socket.answer()).status == 200


async def test_an_offer_of_websockets_is_ignored(api: str) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    answer = await ask(api, LOGIN + offer + b"Content-Length: 2\r\n\r\n{}")
    assert answer.status == 422
    assert (await ask(api, HEAD + offer + b"\r\n")).status == 200
