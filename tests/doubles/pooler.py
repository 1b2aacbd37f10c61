"""A pooler: it passes `options` over, as some do, refuses them, as PgBouncer and Neon's do, or tells them.

It may speak TLS, and tell other numbers than the server.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

Manner = Literal["passes over", "refuses", "tells", "lies"]
SSL_REQUEST: Final = 80877103
"""The code of a request for TLS (PostgreSQL's documentation, section 54.7)."""
LIE: Final = (b"4242", b"42no")
"""A number of the server's, and what is told instead."""
REFUSAL: Final = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"


@asynccontextmanager
async def pooler(host: str, port: int, options: Manner, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run one in front of a server. Yields its port on loopback."""
    pieces: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await _serve(reader, writer, host, port, options, tls)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*pieces, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int,
    options: Manner,
    tls: ssl.SSLContext | None,
) -> None:
    body = await _startup(reader)
    if struct.unpack_from("!i", body)[0] == SSL_REQUEST:
        writer.write(b"S" if tls else b"N")
        if tls:
            await writer.start_tls(tls)
        body = await _startup(reader)
    words = body[4:].rstrip(b"\0").split(b"\0")
    told = dict(zip(words[::2], words[1::2], strict=False))
    given = told.pop(b"options", None)
    if given is not None and options in {"tells", "lies"}:
        told[b"options"] = given
    if given is not None and options == "refuses":
        writer.write(b"E" + struct.pack("!i", len(REFUSAL) + 4) + REFUSAL)
        await writer.drain()
        return
    body = body[:4] + b"".join(name + b"\0" + value + b"\0" for name, value in told.items()) + b"\0"
    there_reader, there_writer = await asyncio.open_connection(host, port)
    there_writer.write(struct.pack("!i", len(body) + 4) + body)
    lie = LIE if options == "lies" else (b"", b"")
    await asyncio.gather(_pipe(reader, there_writer), _pipe(there_reader, writer, lie))


async def _startup(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return await reader.readexactly(length - 4)


async def _pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lie: tuple[bytes, bytes] = (b"", b"")
) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece.replace(*lie) if lie[0] else piece)
            await writer.drain()
    writer.close()
