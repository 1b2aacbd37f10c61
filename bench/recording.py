"""The cheapest client there is: while the load runs it only notes when which bytes came; they are read afterwards."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

CONNECT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """One stream to open: a POST with a JSON body. `after` is when, in seconds from the start of the load."""

    host: str
    port: int
    path: str
    token: str
    body: dict[str, object]
    after: float = 0.0

    def request(self) -> bytes:
        """Return the request's bytes; the connection closes with the answer, which is how its end is seen."""
        body = json.dumps(self.body).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Recording:
    """What came on one connection: each piece with its time of receipt. Times are time.time_ns()."""

    sent_at: int = 0
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    trouble: str = ""


class _Recorder(asyncio.Protocol):
    def __init__(self, request: bytes, recording: Recording, over: asyncio.Future[None]) -> None:
        self._request = request
        self._recording = recording
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._recording.sent_at = time.time_ns()
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._recording.pieces.append((time.time_ns(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._recording.trouble = repr(exc)
        if not self._over.done():
            self._over.set_result(None)


async def record(target: Target, within: float) -> Recording:
    """Open one stream when its time has come, and record it to its end; at most `within` seconds."""
    await asyncio.sleep(target.after)
    loop, recording = asyncio.get_running_loop(), Recording()
    over: asyncio.Future[None] = loop.create_future()
    request = target.request()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, _ = await loop.create_connection(
                lambda: _Recorder(request, recording, over), target.host, target.port
            )
    except (OSError, TimeoutError) as error:
        recording.trouble = repr(error)
        return recording
    try:
        async with asyncio.timeout(within):
            await over
    except TimeoutError:
        recording.trouble = f"not over after {within:.0f} s"
        transport.abort()
    return recording


async def record_all(targets: Sequence[Target], within: float) -> list[Recording]:
    """Open all streams at their times and record them to their ends."""
    return await asyncio.gather(*(record(target, within) for target in targets))
