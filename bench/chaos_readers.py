"""One reader of one answer, as a frontend would be one: it resumes after every cut, and checks every frame."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

SILENCE_SECONDS: Final = 20.0
"""The server pings every 15 s; after more the connection is dead."""
RETRY_SECONDS: Final = 0.25
GAP_SECONDS: Final = 1.0
TERMINAL: Final = frozenset({"finish", "error", "abort"})


@dataclass
class View:
    """What a reader has rendered, and what was wrong with what it got. Times are monotonic seconds."""

    text: str = ""
    attempt: int = 0
    sequence: int = 0
    event_id: str = ""
    terminal: str = ""
    done: bool = False
    frames: int = 0
    connections: int = 0
    resets: int = 0
    wrong: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    last_at: float = field(default_factory=time.monotonic)

    def begin_anew(self) -> None:
        """Forget what was rendered."""
        self.text, self.attempt, self.sequence, self.event_id = "", 0, 0, ""

    def take(self, event_id: str, part: dict[str, Any]) -> None:
        """Render one frame of the log."""
        attempt, _, sequence = event_id.rpartition(":")[2].partition("-")
        offset = (int(attempt), int(sequence))
        if offset[1] != self.sequence + 1 or offset[0] < self.attempt:
            kind = "doubled" if offset[1] <= self.sequence else "lost"
            self.wrong.append(f"{kind}: {offset} follows {(self.attempt, self.sequence)}")
        if self.terminal:
            self.wrong.append(f"doubled: {part['type']} after {self.terminal}")
        now = time.monotonic()
        if now - self.last_at > GAP_SECONDS:
            self.gaps.append((self.last_at, now))
        self.last_at = now
        (self.attempt, self.sequence), self.event_id = offset, event_id
        self.frames += 1
        if part["type"] == "text-delta":
            self.text += part["delta"]
        elif part["type"] in TERMINAL:
            self.terminal = part["type"]


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The (id, data) of each event; the id is empty where the event has none."""
    event_id = data = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            data = value
        elif not line and data:
            yield event_id, data
            event_id = data = ""


async def read(view: View, response: aiohttp.ClientResponse, *, leave_after: int | None = None) -> None:
    """Read a response to its end, or until so many frames have come.

    Raises:
        aiohttp.ClientError: the stream was cut.
        TimeoutError: it went silent.

    """
    view.connections += 1
    taken = 0
    async for event_id, data in events(response):
        if data == "[DONE]":
            view.done = True
            return
        part = json.loads(data)
        if event_id and not event_id.endswith(":0-0"):
            view.take(event_id, part)
            taken += 1
            if leave_after is not None and taken >= leave_after:
                return
        elif part["type"] == "data-reset":
            view.resets += 1
            view.begin_anew()
    if not view.done:
        view.wrong.append("lost: the stream ended cleanly without its end")


@dataclass
class Follower:
    """Reads one stream until its end, from either API, through cuts and its own comings and goings."""

    http: aiohttp.ClientSession
    urls: list[str]
    headers: dict[str, str]
    rng: random.Random
    bad: list[str]
    restless: float = 0.0

    async def follow(self, path: str, view: View) -> View:
        """Read a permanent stream to its end."""
        while not view.done:
            headers = {**self.headers, **({"Last-Event-ID": view.event_id} if view.event_id else {})}
            leave = self.rng.randint(1, 30) if self.rng.random() < self.restless else None
            try:
                async with self.http.get(self.rng.choice(self.urls) + path, headers=headers) as response:
                    if response.status == 204:
                        view.done = True
                        return view
                    if response.status == 200:
                        if not view.event_id:
                            view.begin_anew()
                        await read(view, response, leave_after=leave)
                        continue
                    await self._refused(response)
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_SECONDS * self.rng.uniform(0.5, 1.5))
        return view

    async def _refused(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 503:
            self.bad.append(f"GET {response.url.path}: {response.status} {(await response.text())[:200]}")
            await asyncio.sleep(1)
