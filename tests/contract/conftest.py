"""Stream logs to test: a writer and a reader of the same logs, for each adapter."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.ids import GenerationId, new_generation_id
from shared.streams.in_memory import InMemoryStreams
from shared.streams.port import UNPREFIXED, Append, Reader, Writer
from shared.streams.redis import open_streams as open_redis_streams


@dataclass(frozen=True)
class Streams:
    """A writer, and a reader in what could be another process."""

    writer: Writer
    reader: Reader

    async def write(
        self,
        generation: GenerationId,
        *frames: bytes,
        attempt: int = 1,
        after: int | None = None,
        terminal: bool = False,
    ) -> int:
        """Append, and expect no refusal. Returns the log's last sequence."""
        (answer,) = await self.writer.append([Append(generation, attempt, after, frames, terminal)])
        if isinstance(answer, Exception):
            raise answer
        return answer


class OpenStreams(Protocol):
    """Opens one adapter's streams, with the keep-alive interval of their subscriptions in seconds."""

    def __call__(self, *, keep_alive: float = 15.0) -> AbstractAsyncContextManager[Streams]:
        """Open."""
        ...


@asynccontextmanager
async def open_memory(*, keep_alive: float = 15.0) -> AsyncIterator[Streams]:
    """The adapter in memory."""
    streams = InMemoryStreams(keep_alive=keep_alive)
    yield Streams(streams, streams)


@asynccontextmanager
async def open_redis(
    url: str, *, keep_alive: float = 15.0, prefixes: Sequence[str] = UNPREFIXED
) -> AsyncIterator[Streams]:
    """The adapter over the Redis protocol."""
    async with open_redis_streams(url, ttl=60, keep_alive=keep_alive, prefixes=prefixes) as opened:
        yield Streams(opened.writer, opened.reader)


PREFIXES = {"redis": UNPREFIXED, "redis, while its prefix changes": ("new:", "")}


@pytest.fixture(params=["memory", *PREFIXES])
def open_streams(request: pytest.FixtureRequest) -> OpenStreams:
    """Opens the adapter under test."""
    if request.param == "memory":
        return open_memory
    server: EmbeddedValkey = request.getfixturevalue("valkey")

    def opened(*, keep_alive: float = 15.0) -> AbstractAsyncContextManager[Streams]:
        return open_redis(server.url, keep_alive=keep_alive, prefixes=PREFIXES[request.param])

    return opened


@pytest.fixture
async def streams(open_streams: OpenStreams) -> AsyncIterator[Streams]:
    """The adapter under test."""
    async with open_streams() as opened:
        yield opened


@pytest.fixture
def generation() -> GenerationId:
    """A generation without a log."""
    return new_generation_id()
