"""Sockets that say what no client's library would."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

WITHIN = 10


class Answer(NamedTuple):
    """A response. `headers` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


class Socket:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next response, within WITHIN seconds."""
        async with asyncio.timeout(WITHIN):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if head_only else int(headers.get("content-length", 0))
            return Answer(int(status.split()[1]), headers, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """All that comes up to the end of the connection, however it ends, within WITHIN seconds."""
        found = b""
        async with asyncio.timeout(WITHIN):
            try:
                while some := await self.reader.read(65536):
                    found += some
            except ConnectionError:
                pass
        return found


@asynccontextmanager
async def connected(api: str, source: str | None = None) -> AsyncIterator[Socket]:
    """A connection to the API at this URL, from this address of the loopback."""
    host, _, port = api.removeprefix("http://").partition(":")
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=local)
    try:
        yield Socket(reader, writer)
    finally:
        writer.transport.abort()


async def ask(api: str, data: bytes) -> Answer:
    """The response to what is sent at once."""
    async with connected(api) as socket:
        await socket.send(data)
        return await socket.answer()
