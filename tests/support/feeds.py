"""A browser's tab that reads a user's live feed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from shared.streams.feed.publisher import FeedPublisher
from tests.support.clients import Client, Event, Stream

PATIENCE = 20.0
"""Seconds that an event may take: a missing one shall fail its test, not time it out."""


_PUBLISHERS: list[FeedPublisher] = []
"""Those of the APIs and workers that run in this process."""


@contextmanager
def telling(publisher: FeedPublisher) -> Iterator[None]:
    """Have `told_all` wait for this publisher too."""
    _PUBLISHERS.append(publisher)
    try:
        yield
    finally:
        _PUBLISHERS.remove(publisher)


async def told_all() -> None:
    """Wait until all that this process's APIs and workers have to tell is in the feeds: they tell in the background."""
    for publisher in _PUBLISHERS:
        assert await publisher.flush(PATIENCE)


@dataclass
class Tab:
    """An open feed. `seen` are the events so far."""

    stream: Stream
    _events: AsyncIterator[Event]
    seen: list[Event] = field(default_factory=list)

    async def next(self) -> Event:
        """The next event."""
        async with asyncio.timeout(PATIENCE):
            event = await anext(self._events)
        self.seen.append(event)
        return event

    async def until(self, kind: str, **members: Any) -> list[Event]:  # noqa: ANN401
        """The next events, up to one of this type that has these members."""
        found = [await self.next()]
        while not is_like(found[-1], kind, members):
            found.append(await self.next())
        return found

    async def end(self) -> list[Event]:
        """What comes until the feed ends in good order."""
        async with asyncio.timeout(PATIENCE):
            return [event async for event in self._events]

    async def until_cut(self) -> list[Event]:
        """What comes until the feed is cut, without its end."""
        told: list[Event] = []
        try:
            async with asyncio.timeout(PATIENCE):
                async for event in self._events:
                    told.append(event)  # noqa: PERF401 - an error cuts off all of a comprehension
        except httpx.RemoteProtocolError:
            return told
        pytest.fail("the feed has ended")

    @property
    def last_id(self) -> str:
        """The id with which a client resumes."""
        return self.seen[-1].id


def is_like(event: Event, kind: str, members: dict[str, Any]) -> bool:
    """Whether an event has this type, and these members."""
    return event.part["type"] == kind and members.items() <= event.part.items()


@asynccontextmanager
async def open_tab(
    client: Client | httpx.AsyncClient, after: str | None = None, base: str = "", query: str = ""
) -> AsyncIterator[Tab]:
    """Read the feed, after an event's id if there is one."""
    http = client.http if isinstance(client, Client) else client
    headers = {"Last-Event-ID": after} if after else {}
    async with http.stream("GET", f"{base}/api/events{query}", headers=headers) as response:
        assert response.status_code == 200
        stream = Stream(response)
        yield Tab(stream, stream.events())


@asynccontextmanager
async def ready_tab(client: Client) -> AsyncIterator[Tab]:
    """A tab that is told everything from now on, and nothing that this process's APIs and workers have told before."""
    await told_all()
    async with open_tab(client) as tab:
        assert (await tab.next()).part == {"type": "ready"}
        yield tab


def told(events: list[Event]) -> list[tuple[str, Any]]:
    """The events in short: type, and what is most worth knowing."""
    return [(event.part["type"], event.part.get("status") or event.part.get("title")) for event in events]
