"""What is no request, or none that every server on the way would read the same, is refused, and its connection closed."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.api.answer_headers import PRIVATE
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.raw_http import ask, connected

HOST = b"Host: x\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(*headers: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    return b"POST /api/auth/login HTTP/" + version + b"\r\n" + HOST + b"".join(headers) + b"\r\n" + body


REFUSED: dict[str, tuple[int, bytes]] = {
    "Content-Length and Transfer-Encoding": (400, post(b"Content-Length: 5\r\n", CHUNKED)),
    "Transfer-Encoding and Content-Length": (400, post(CHUNKED, b"Content-Length: 5\r\n")),
    "two equal Content-Lengths": (400, post(b"Content-Length: 5\r\n" * 2)),
    "two Content-Lengths": (400, post(b"Content-Length: 5\r\nContent-Length: 6\r\n")),
    "a list as Content-Length": (400, post(b"Content-Length: 5, 5\r\n")),
    "Content-Length with a sign": (400, post(b"Content-Length: +5\r\n")),
    "negative Content-Length": (400, post(b"Content-Length: -5\r\n")),
    "hexadecimal Content-Length": (400, post(b"Content-Length: 0x5\r\n")),
    "Content-Length of two numbers": (400, post(b"Content-Length: 5 5\r\n")),
    "empty Content-Length": (400, post(b"Content-Length: \r\n")),
    "Content-Length beyond 64 bits": (400, post(b"Content-Length: 99999999999999999999\r\n")),
    "an unknown coding": (501, post(b"Transfer-Encoding: xchunked\r\n")),
    "a method that nobody knows": (501, GET.replace(b"GET", b"FOO") + b"\r\n"),
    "a method of RTSP": (501, GET.replace(b"GET", b"DESCRIBE") + b"\r\n"),
    "an unknown method behind an empty line": (501, b"\r\n" + GET.replace(b"GET", b"FOO") + b"\r\n"),
    "what is no method": (400, GET.replace(b"GET", b"G(T") + b"\r\n"),
    "gzip alone": (501, post(b"Transfer-Encoding: gzip\r\n")),
    "gzip before chunked": (501, post(b"Transfer-Encoding: gzip, chunked\r\n")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked\r\n")),
    "Transfer-Encoding twice": (400, post(CHUNKED * 2)),
    "chunked, then another": (400, post(b"Transfer-Encoding: chunked, identity\r\n")),
    "identity": (501, post(b"Transfer-Encoding: identity\r\n")),
    "chunked in quotation marks": (501, post(b'Transfer-Encoding: "chunked"\r\n')),
    "a vertical tab before chunked": (400, post(b"Transfer-Encoding:\x0bchunked\r\n")),
    "chunks in HTTP/1.0": (400, post(CHUNKED, version=b"1.0")),
    "a space before the colon": (400, post(b"Transfer-Encoding : chunked\r\n")),
    "a line that goes on": (400, post(b"X: a\r\n b\r\n", CHUNKED)),
    "a coding in a line that goes on": (400, post(b"Transfer-Encoding:\r\n chunked\r\n")),
    "a line without a colon": (400, post(b"Xyz\r\n", CHUNKED)),
    "a header without a name": (400, post(b": x\r\n", CHUNKED)),
    "line feeds alone": (400, b"GET /livez HTTP/1.1\nHost: x\n\n"),
    "one line feed alone": (400, GET.replace(b"x\r\n", b"x\n") + b"X: y\r\n\r\n"),
    "a carriage return alone": (400, GET + b"X: a\rY: b\r\n\r\n"),
    "NUL in a value": (400, GET + b"X: a\0b\r\n\r\n"),
    "a control character in a value": (400, GET + b"X: a\x01b\r\n\r\n"),
    "no ASCII in a name": (400, GET + "é: a\r\n\r\n".encode()),
    "a chunk's size with a prefix": (400, post(CHUNKED, body=b"0x5\r\nabcde\r\n0\r\n\r\n")),
    "a chunk's size with a sign": (400, post(CHUNKED, body=b"-5\r\nabcde\r\n0\r\n\r\n")),
    "a chunk's size with a space": (400, post(CHUNKED, body=b"5 \r\nabcde\r\n0\r\n\r\n")),
    "a chunk's size beyond 64 bits": (400, post(CHUNKED, body=b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
    "a chunk longer than its size": (400, post(CHUNKED, body=b"2\r\nabc\r\n0\r\n\r\n")),
    "a chunk's size that ends in a line feed": (400, post(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n")),
    "a chunk's extension that ends in a line feed": (400, post(CHUNKED, body=b"3;a\nabc\r\n0\r\n\r\n")),
    "Content-Length behind the body": (400, post(CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n")),
    "no Host": (400, b"GET /livez HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, GET + b"Host: y\r\n\r\n"),
    "two equal Hosts": (400, GET + HOST + b"\r\n"),
    "an empty Host": (400, b"GET /livez HTTP/1.1\r\nHost: \r\n\r\n"),
    "a path in Host": (400, b"GET /livez HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    "an account in Host": (400, b"GET /livez HTTP/1.1\r\nHost: me@x\r\n\r\n"),
    "a space in Host": (400, b"GET /livez HTTP/1.1\r\nHost: x y\r\n\r\n"),
    "a list in Host": (400, b"GET /livez HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    "a port that is none": (400, b"GET /livez HTTP/1.1\r\nHost: x:y\r\n\r\n"),
    "a name of no host's length": (400, b"GET /livez HTTP/1.1\r\nHost: " + b"a." * 150 + b"b\r\n\r\n"),
    "no ASCII in Host": (400, "GET /livez HTTP/1.1\r\nHost: é\r\n\r\n".encode()),
    "an odd Host in HTTP/1.0": (400, b"GET /livez HTTP/1.0\r\nHost: x/y\r\n\r\n"),
    "an account in a URL": (400, b"GET http://me@x/livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "another scheme": (400, b"GET ftp://x/livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n"),
    "HTTP/2 without asking": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (400, b"GET /livez HTTP/1.2\r\nHost: x\r\n\r\n"),
    "HTTP/0.9": (505, b"GET /livez\r\n\r\n"),
    "a space in the URL": (400, b"GET /livez /x HTTP/1.1\r\nHost: x\r\n\r\n"),
    "NUL in the URL": (400, b"GET /livez\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a method in small letters": (501, b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
}
TAKEN: dict[str, bytes] = {
    "an address of IPv6": b"GET /livez HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    "a port": b"GET /livez HTTP/1.1\r\nHost: api_1.example.com:8000\r\n\r\n",
    "HTTP/1.0 without Host": b"GET /livez HTTP/1.0\r\n\r\n",
    "a whole URL": b"GET http://x/livez HTTP/1.1\r\nHost: y\r\n\r\n",
    "line ends before": b"\r\n\r\n" + GET + b"\r\n",
    "tabs": GET + b"X:\ta\t\r\n\r\n",
    "a hundred headers": GET + b"X: y\r\n" * 99 + b"\r\n",
    "a long header": GET + b"X: " + b"y" * 32_000 + b"\r\n\r\n",
    "trailers": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
}


@pytest.fixture(scope="module")
async def api(make_database: Callable[[], str], valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An API for all of these tests."""
    async with serve(settings_for(make_database(), valkey.url, "http://127.0.0.1:1")) as url:
        yield url


@pytest.mark.parametrize("name", REFUSED)
async def test_what_others_might_read_otherwise_is_refused(api: str, name: str) -> None:
    status, request = REFUSED[name]
    async with connected(api) as socket:
        await socket.send(request + SMUGGLED)
        answer = await socket.answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert {name.decode(): value.decode() for name, value in PRIVATE}.items() <= answer.headers.items()
        assert answer.problem["status"] == status
        assert await socket.rest() == b""


@pytest.mark.parametrize("cut", range(1, 8))
async def test_an_unknown_method_is_told_however_its_bytes_come(api: str, cut: int) -> None:
    request = b"PROPX / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(api) as socket:
        await socket.send(request[:cut])
        assert await ask(api, GET + b"\r\n")  # by now, the first bytes have come by themselves
        await socket.send(request[cut:])
        assert (await socket.answer()).status == 501


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_odd_but_clear_is_answered(api: str, name: str) -> None:
    assert (await ask(api, TAKEN[name])).status == 200


async def test_a_bad_request_behind_another_takes_no_answer_from_it(api: str) -> None:
    async with connected(api) as socket:
        await socket.send(GET + b"\r\n" + b"HELLO\r\n\r\n")
        answered = await socket.rest()
    assert answered.count(b"HTTP/1.1 ") <= 1
    assert b"malformed_request" not in answered


@pytest.mark.parametrize("piece", [997, 100_000], ids=["in pieces", "at once"])
@pytest.mark.parametrize(
    ("status", "head"),
    [
        (414, b"GET /" + b"a" * 33_000),
        (431, GET + b"X: " + b"a" * 33_000),
        (431, GET + b"a" * 33_000),
        (431, GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n"),
        (431, GET + b"X: 0123456789\r\n" * 2500),
        (431, GET + b"X: y\r\n" * 101 + b"\r\n"),
        (414, b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
        (431, post(JSON, CHUNKED, body=b"0\r\nX: " + b"a" * 60_000)),
        (431, post(JSON, CHUNKED, body=b"5;x=" + b"a" * 60_000)),
        (431, post(JSON, CHUNKED, body=b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n")),
    ],
    ids=["URL", "header", "name", "whole", "headers", "101", "whole URL", "trailer", "extension", "trailers"],
)
async def test_what_the_parser_would_keep_is_bounded(api: str, status: int, head: bytes, piece: int) -> None:
    async with connected(api) as socket:
        asked = asyncio.create_task(socket.answer())
        for begin in range(0, len(head), piece):
            if asked.done():
                break
            await socket.send(head[begin : begin + piece])
            await asyncio.sleep(0)
        answer = await asked
        assert answer.status == status
        assert await socket.rest() == b""
