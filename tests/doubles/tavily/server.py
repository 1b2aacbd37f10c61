"""The double's HTTP: one coroutine per connection, so that it can also break off where no framework would."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tests.doubles.groq.wire import response
from tests.doubles.tavily import answers
from tests.doubles.tavily.control import answer_control
from tests.doubles.tavily.directives import Behaviour, DirectiveInvalid
from tests.doubles.tavily.state import Record, State

MAX_BODY_BYTES: Final = 1024 * 1024
PIECE_BYTES: Final = 16 * 1024


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class BrokenOff(Exception):
    """The connection ends here, as the behaviour wants it."""


class Connection:
    """One client's connection; requests on it are answered one after another."""

    def __init__(self, state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._state = state
        self._reader = reader
        self._writer = writer
        state.connections += 1
        self._number = state.connections

    async def serve(self) -> None:
        """Answer until the client leaves."""
        try:
            async for method, target, headers, body in self._requests():
                url = urlsplit(target)
                if (method, url.path) == ("POST", "/search"):
                    await self._search(headers, body)
                elif url.path.startswith("/control/"):
                    await self._send(await answer_control(self._state, url.path, dict(parse_qsl(url.query)), body))
                else:
                    await self._send(response(HTTPStatus.NOT_FOUND, answers.to_json({"detail": "Not Found"})))
        except (ClientLeft, BrokenOff, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _requests(self) -> AsyncIterator[tuple[str, str, dict[str, str], bytes]]:
        while head := await self._head():
            line, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            size = int(headers.get("content-length", "0"))
            if size > MAX_BODY_BYTES:
                raise BrokenOff
            yield method, target, headers, await self._reader.readexactly(size)

    async def _head(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""

    async def _search(self, headers: dict[str, str], raw: bytes) -> None:
        refused: answers.RequestInvalid | None = None
        record = self._state.arrive(self._number, headers, raw.decode(errors="replace"), "")
        try:
            body = answers.read(raw, headers)
            record.body, record.query = body, body["query"]
            behaviour = self._state.choose(record.query)
        except DirectiveInvalid as error:
            refused = answers.RequestInvalid(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except answers.RequestInvalid as error:
            refused = error
        if refused:
            await self._send(response(refused.status, refused.body))
            self._state.end(record, "refused")
            return
        self._state.changed()
        try:
            await self._answer(record, behaviour, body)
        except BrokenOff:
            self._state.end(record, "broken")
            raise
        except (ClientLeft, ConnectionError):
            self._state.end(record, "abandoned")
            raise

    async def _answer(self, record: Record, behaviour: Behaviour, body: dict[str, object]) -> None:
        fault = "" if self._state.is_spared(behaviour, record.query) else behaviour.fault
        if behaviour.delay:
            await self._wait(asyncio.sleep(behaviour.delay))
        gate = self._state.gates[behaviour.hold]
        if fault == "hang" or (behaviour.hold and not gate.is_set()):
            self._state.hold(record)
            await self._wait(asyncio.Event().wait() if fault == "hang" else gate.wait())
        if fault == "drop":
            raise BrokenOff
        if fault and behaviour.status:
            await self._send(_refusal(behaviour))
            self._state.end(record, "refused")
            return
        text = answers.answer(behaviour, body)
        if fault == "gzip":
            whole = response(HTTPStatus.OK, gzip.compress(text), headers={"content-encoding": "gzip"})
        elif fault == "chunked":
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            whole = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
        else:
            whole = response(HTTPStatus.OK, text)
        await self._send(whole[: len(whole) - len(text) // 2] if fault in {"cut", "stall"} else whole, record)
        if fault == "cut":
            raise BrokenOff
        if fault == "stall":
            self._state.hold(record)
            await self._wait(asyncio.Event().wait())
        self._state.end(record, "finished")

    async def _send(self, data: bytes, record: Record | None = None) -> None:
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            self._writer.write(piece)
            await self._writer.drain()
            if record:
                record.sent_bytes += len(piece)

    async def _wait(self, what: object) -> None:
        """Wait for something, or for the client to leave.

        Raises:
            ClientLeft: that came first.

        """
        happening = asyncio.ensure_future(what)  # type: ignore[call-overload]
        leaving = asyncio.ensure_future(self._reader.read(1))  # nothing is sent while an answer is due
        done, pending = await asyncio.wait({happening, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if leaving in done:
            raise ClientLeft


def _refusal(behaviour: Behaviour) -> bytes:
    headers = {"retry-after": f"{behaviour.retry_after:g}"} if behaviour.retry_after >= 0 else {}
    if behaviour.status < HTTPStatus.BAD_REQUEST:
        headers["location"] = "/search"
    return response(behaviour.status, answers.error(behaviour.status), headers=headers)
