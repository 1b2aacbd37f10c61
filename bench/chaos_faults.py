"""The faults: which, how often, and to whom. Seeded, so that a run's schedule can be had again."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chaos_system import POLL_SECONDS, ChaosSystem, Node

EVERY: Final = {
    "worker kill -9": 6.5,
    "worker SIGSTOP": 21.0,
    "Redis kill -9": 36.0,
    "PostgreSQL crash": 52.0,
    "API kill -9": 47.0,
    "worker SIGTERM": 95.0,
    "API SIGTERM": 110.0,
}
"""Seconds between two of a kind, on average."""
FROZEN_SECONDS: Final = (16.5, 18.5)
"""How long a frozen worker sleeps: longer than its lease (15 s)."""
WIPES_EVERY: Final = 3
"""Each so manieth Redis that is killed loses its data."""
MIN_HEALTHY: Final = 2


@dataclass
class Faults:
    """Makes faults until it is cancelled, and remembers them: (kind, begin, end) in monotonic seconds.

    `every` has the kinds that happen, each with its mean interval in seconds.
    """

    system: ChaosSystem
    rng: random.Random
    every: Mapping[str, float] = field(default_factory=lambda: EVERY)
    happened: list[tuple[str, float, float]] = field(default_factory=list)
    bad_exits: list[str] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        """Let each kind happen at its pace; returns when all that was begun is mended."""
        kinds: dict[str, Callable[[], Awaitable[str | None]]] = {
            "worker kill -9": self._kill_worker,
            "worker SIGSTOP": self._freeze_worker,
            "Redis kill -9": self._crash_redis,
            "PostgreSQL crash": self._crash_postgres,
            "API kill -9": self._kill_api,
            "worker SIGTERM": self._replace_worker,
            "API SIGTERM": self._replace_api,
        }
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._repeat(kind, kinds[kind], until) for kind in self.every))
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _repeat(self, kind: str, fault: Callable[[], Awaitable[str | None]], until: float) -> None:
        """Begin a fault at its times, whether or not the one before is mended."""
        begun: set[asyncio.Task[None]] = set()
        due = time.monotonic() + self.every[kind] * self.rng.uniform(0.3, 1.0)
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            begun.add(asyncio.create_task(self._one(kind, fault)))
            due += self.every[kind] * self.rng.uniform(0.8, 1.2)
        await asyncio.gather(*begun)

    async def _one(self, kind: str, fault: Callable[[], Awaitable[str | None]]) -> None:
        begin = time.monotonic()
        done = await fault()
        if done is not None:
            self.happened.append((done or kind, begin, time.monotonic()))

    def _some(self, nodes: list[Node], keep: int) -> Node | None:
        """One that is up, if enough others are."""
        healthy = [node for node in nodes if node.up]
        return self.rng.choice(healthy) if len(healthy) > keep else None

    async def _worker(self, keep: int) -> Node:
        """One that is up, as soon as enough others are."""
        while True:
            node = self._some(self.system.workers, keep)
            if node is not None:
                return node
            await asyncio.sleep(POLL_SECONDS)

    async def _kill_worker(self) -> str | None:
        node = await self._worker(MIN_HEALTHY - 1)
        await self.system.kill(node)
        await self.system.launch(node)
        return "worker kill -9"

    async def _freeze_worker(self) -> str | None:
        node = await self._worker(MIN_HEALTHY)
        node.up = False
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(self.rng.uniform(*FROZEN_SECONDS))
        node.signal(signal.SIGCONT)
        node.up = True
        return "worker SIGSTOP"

    async def _crash_redis(self) -> str | None:
        done = Counter(kind for kind, _, _ in self.happened)
        crashes = done["Redis kill -9"] + done["Redis kill -9 and wipe"]
        wipe = crashes % WIPES_EVERY == WIPES_EVERY - 1
        await self.system.crash_valkey(wipe=wipe)
        return "Redis kill -9 and wipe" if wipe else "Redis kill -9"

    async def _crash_postgres(self) -> str | None:
        await self.system.crash_postgres()
        return "PostgreSQL crash"

    async def _kill_api(self) -> str | None:
        if (node := self._some(self.system.apis, 1)) is None:
            return None
        await self.system.kill(node)
        await self.system.launch(node)
        return "API kill -9"

    async def _replace_worker(self) -> str | None:
        return await self._replace(self.system.workers, "worker SIGTERM", MIN_HEALTHY)

    async def _replace_api(self) -> str | None:
        return await self._replace(self.system.apis, "API SIGTERM", 1)

    async def _replace(self, nodes: list[Node], kind: str, keep: int) -> str | None:
        if (node := self._some(nodes, keep)) is None:
            return None
        code = await self.system.terminate(node)
        if code != 0:
            self.bad_exits.append(f"{node.name} left with {code} after SIGTERM")
        await self.system.launch(node)
        return kind
