"""A TCP proxy that can go deaf and dumb: what a network does to a connection without telling either end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536


class Proxy:
    """Passes bytes on between its clients and a server, while it is not frozen. `url` is the server's, by way of it."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._refused = asyncio.Semaphore(0)
        self.port = 0

    @property
    def url(self) -> str:
        """The server's URL, by way of the proxy."""
        account = self._server.netloc.rpartition("@")[0]
        return urlunsplit(self._server._replace(netloc=f"{account}@127.0.0.1:{self.port}"))

    def freeze(self) -> None:
        """Let no byte through, in either direction; connections, also new ones, stay as they are."""
        self._open.clear()

    def refuse(self) -> None:
        """Cut all connections, and turn new ones away: what a server does that is being restarted."""
        self._refusing = True
        for task in self._tasks:
            task.cancel()

    async def refused(self, count: int) -> None:
        """Wait until so many more connections have been turned away."""
        for _ in range(count):
            await self._refused.acquire()

    def heal(self) -> None:
        """Let everything through that was held up, and new connections in."""
        self._refusing = False
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either end closes."""
        await self._open.wait()
        if self._refusing:
            writer.close()
            self._refused.release()
            return
        far_reader, far_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        ways = [
            asyncio.create_task(self._pass(reader, far_writer)),
            asyncio.create_task(self._pass(far_reader, writer)),
        ]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        self._tasks.difference_update(ways)
        far_writer.close()
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy to the server of this URL."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.heal()
        server.close()
