"""The clients of docs/clients do what their pages say: they ask, follow the answer through a cut, and stop it."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.clients.conftest import DOCUMENTED, HERE
from tests.clients.programs import Program, Running
from tests.doubles import groq_control
from tests.doubles.proxy import proxy_to
from tests.support.clients import Client, numbered
from tests.support.tools import tool


@dataclass(frozen=True)
class Documented:
    """A documented client of one user. `node` makes its programs, where it is of node."""

    name: str
    user: Client
    node: Callable[[str], Program] | None

    @property
    def token(self) -> str:
        return self.user.token

    @asynccontextmanager
    async def asking(self, url: str, chat: int, content: str) -> AsyncIterator[Running]:
        """Ask. The program prints the parts of the answer."""
        program, arguments = self._program(url), [url, self.token, str(chat), content]
        if self.name == "curl":
            arguments = ["ask", str(chat), content]
        async with program.running(*arguments) as running:
            yield running

    def _program(self, url: str) -> Program:
        match self.name:
            case "curl":
                env = {"API": url, "TOKEN": self.token}
                return Program((tool("bash"), str(DOCUMENTED / "curl.sh")), Path(), env)
            case "httpx-sse":
                return Program((sys.executable, str(HERE / "ask_with_httpx_sse.py")), Path())
            case _:
                assert self.node is not None
                return self.node("fetch.mjs" if self.name == "fetch" else "eventsource-chat.mjs")

    async def stop(self, running: Running, url: str, chat: int) -> None:
        """Stop the answer."""
        match self.name:
            case "curl":
                await self._program(url).run("stop", str(chat))
            case "httpx-sse":
                await self._program(url).run(url, self.token, str(chat))
            case "fetch":
                await running.tell("stop")
            case _:
                await self.user.http.post(f"/api/chats/{chat}/stop")


@pytest.fixture(params=["curl", "eventsource", "fetch", "httpx-sse"])
def documented(request: pytest.FixtureRequest, client: Client) -> Documented:
    """Each of the clients."""
    if request.param == "curl":
        tool("curl")
    of_node = request.param in {"eventsource", "fetch"}
    return Documented(request.param, client, request.getfixturevalue("node") if of_node else None)


@dataclass
class Answering:
    """An answer that has said ten tokens and is held there, as its client has it."""

    running: Running
    chat: int
    url: str
    gate: str
    lines: AsyncIterator[str]
    said: str = ""
    last: str = ""

    async def until(self, text: str | None = None) -> None:
        """Take parts until this is said; without a text, to the end."""
        async for line in self.lines:
            part = json.loads(line)
            assert part["type"] != "data-reset"
            self.said += part.get("delta", "")
            self.last = part["type"] if part["type"] in {"finish", "abort", "error"} else self.last
            if text is not None and self.said == text:
                return
        assert text is None


@asynccontextmanager
async def answering(documented: Documented, worker: Worker, url: str) -> AsyncIterator[Answering]:
    user, gate = documented.user, uuid4().hex
    chat = await user.new_chat()
    async with documented.asking(url, chat, f"[[tokens=30 after=10 hold={gate}]]") as running:
        lines = running.lines()
        first = json.loads(await anext(lines))  # its place in the queue
        assert first["type"] == "data-status"
        made = (await user.messages(chat))[1]["generation"]["id"]
        making = asyncio.create_task(worker.attempts.run(GenerationId(UUID(made))))
        try:
            answer = Answering(running, chat, url, gate, lines)
            await answer.until(numbered(10))
            yield answer
            await making
        finally:
            making.cancel()
    assert len(await user.messages(chat)) == 2


async def test_an_answer_is_followed_through_a_cut_to_its_end(
    documented: Documented, worker: Worker, api: str, groq_url: str
) -> None:
    async with proxy_to(api) as proxy, answering(documented, worker, proxy.url) as answer:
        proxy.refuse()
        await proxy.refused(1)
        proxy.heal()
        await groq_control.release(groq_url, answer.gate)
        await answer.until()
        assert (answer.said, answer.last) == (numbered(30), "finish")


async def test_an_answer_is_stopped(documented: Documented, worker: Worker, api: str) -> None:
    async with answering(documented, worker, api) as answer:
        await documented.stop(answer.running, answer.url, answer.chat)
        await answer.until()
        assert (answer.said, answer.last) == (numbered(10), "abort")
        assert (await documented.user.messages(answer.chat))[1]["status"] == "cancelled"


@asynccontextmanager
async def answers(*responses: bytes) -> AsyncIterator[str]:
    """The URL of a server that gives these responses, one to each connection: a proxy whose API is away, for example."""
    left = iter(responses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(next(left))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def response(status: str, body: str, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", body)).encode()


ENDED = response("200 OK", 'data: {"type":"finish"}\n\ndata: [DONE]\n\n', "Content-Type: text/event-stream")
THAT_POST = pytest.mark.parametrize("documented", ["curl", "fetch", "httpx-sse"], indirect=True)


@THAT_POST
@pytest.mark.parametrize("status", ["429 Too Many Requests", "502 Bad Gateway", "504 Gateway Timeout"])
async def test_a_server_that_is_busy_or_away_is_asked_again(documented: Documented, status: str) -> None:
    away = response(status, "away", "Retry-After: 1")
    async with answers(away, ENDED) as url, documented.asking(url, 1, "Hello") as running:
        assert [json.loads(line) async for line in running.lines()] == [{"type": "finish"}]


@THAT_POST
@pytest.mark.parametrize(
    "refusal",
    [
        response("429 Too Many Requests", "quota_exceeded", "Retry-After: 3600"),
        response("500 Internal Server Error", "internal_error"),
        response("422 Unprocessable Content", "validation_failed"),
    ],
    ids=["a long wait", "a fault", "a wrong request"],
)
async def test_what_is_of_no_use_to_ask_again_is_told(documented: Documented, refusal: bytes) -> None:
    async with answers(refusal) as url, documented.asking(url, 1, "Hello") as running:
        with pytest.raises(AssertionError, match=r"429|500|422|quota_exceeded|internal_error|validation_failed"):
            assert [line async for line in running.lines()] == []


@pytest.mark.parametrize("documented", ["fetch", "httpx-sse"], indirect=True)
async def test_a_token_that_runs_out_is_refreshed(documented: Documented, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRESH_TOKEN", "crt_x")
    tokens = json.dumps({"access_token": "next", "refresh_token": "crt_y"})
    given = response("401 Unauthorized", "token_invalid"), response("200 OK", tokens, "Content-Type: application/json")
    async with answers(*given, ENDED) as url, documented.asking(url, 1, "Hello") as running:
        assert [json.loads(line) async for line in running.lines()] == [{"type": "finish"}]
