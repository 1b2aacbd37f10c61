"""Starts the parts of a system in the order of their needs, keeps them alive, and stops them in reverse order."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeVar, cast

from services.launcher.errors import LauncherError, PartFailed
from services.launcher.guard import Guard
from services.launcher.output import TROUBLE, Log, Show, follow, last_line
from services.launcher.program import Program

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
LONG_LIFE: Final = 60.0
QUICK_DEATHS: Final = 3
READY_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 6.0
GUARD_CHECK_SECONDS: Final = 1.0

State = Literal["starting", "ready", "died", "stopped"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the system.

    `prepare` is called in a thread before each start and returns what to run. `is_ready` is polled in a thread.
    With `once` the process does its work and leaves with exit code 0, and then counts as ready. `needs` are the names
    of parts that have to be ready first. `trouble` finds the lines of its output that a person should see.
    """

    name: str
    prepare: Callable[[], Program]
    is_ready: Callable[[], bool] = lambda: True
    needs: tuple[str, ...] = ()
    once: bool = False
    trouble: re.Pattern[str] = TROUBLE


@dataclass(slots=True)
class Life:
    """What the supervisor knows of a part."""

    part: Part
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: subprocess.Popen[bytes] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    restarts: int = 0

    def kill(self) -> None:
        """End its process and what is in that one's group, at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Runs the parts. `notice` is told of every change, `show` of every line that a person should see."""

    def __init__(
        self,
        parts: Iterable[Part],
        guard: Guard,
        log_of: Callable[[str], Path],
        notice: Callable[[str, State], None],
        show: Show,
    ) -> None:
        self._lives = {part.name: Life(part) for part in parts}
        self._guard = guard
        self._log_of = log_of
        self._notice = notice
        self._show = show
        self._stopping = False
        self._hurry = asyncio.Event()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        # Each process is awaited in a thread of its own: the only way that works on every Python and for every child.
        self._threads = ThreadPoolExecutor(max_workers=3 * len(self._lives) + 2)

    async def start(self) -> None:
        """Start everything. Returns when all parts are ready; they are kept alive from the first moment.

        Raises:
            PartFailed: a part died several times before it was ever ready, or was not ready in time.
            CannotStart: a part can't run here.

        """
        for name, life in self._lives.items():
            self._keepers[name] = asyncio.create_task(self._keep(life), name=name)
        ready = asyncio.create_task(self._all_ready())
        try:
            await self._first_error(ready)
        finally:
            ready.cancel()

    async def watch(self) -> None:
        """Keep everything alive; never returns.

        Raises:
            LauncherError: a part can't be started any more.

        """
        guarding = asyncio.create_task(self._keep_guardian())
        try:
            await self._first_error(guarding)
        finally:
            guarding.cancel()

    async def stop(self) -> None:
        """Stop everything: what needs others goes before what it needs. By force where it takes too long."""
        self._stopping = True
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        for wave in reversed(waves([life.part for life in self._lives.values()])):
            await asyncio.gather(*(self._end(self._lives[part.name]) for part in wave))
        self._threads.shutdown()

    def hurry(self) -> None:
        """Kill what has not stopped yet, at once."""
        self._hurry.set()

    def pids(self) -> dict[str, int]:
        """The processes that run now, by the names of their parts."""
        return {name: life.process.pid for name, life in self._lives.items() if life.process is not None}

    async def _all_ready(self) -> None:
        for life in self._lives.values():
            await life.ready.wait()

    async def _first_error(self, goal: asyncio.Task[None]) -> None:
        """Wait for `goal`, or raise what ended a keeper first. A keeper that is done without an error does not count."""
        waiting = {goal, *self._keepers.values()}
        while not goal.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _keep(self, life: Life) -> None:
        part = life.part
        for need in part.needs:
            await self._lives[need].ready.wait()
        pause, deaths = FIRST_PAUSE, 0
        while True:
            born = time.monotonic()
            try:
                exit_code: int | str = await self._live(life)
            except OSError as error:
                # No memory, no processes, a full disk: that may pass.
                exit_code = error.strerror or "OSError"
            if part.once and exit_code == 0:
                self._set_ready(life)
                return
            self._notice(part.name, "died")
            deaths += 1
            if not life.ready.is_set() and (part.once or deaths >= QUICK_DEATHS):
                log = self._log_of(part.name)
                raise PartFailed(f"{part.name} died (exit code {exit_code}), see {log}: {last_line(log)}")
            if time.monotonic() - born >= LONG_LIFE:
                pause = FIRST_PAUSE
            self._show(part.name, f"died (exit code {exit_code}), starts again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
            life.restarts += 1

    async def _live(self, life: Life) -> int:
        """Start the part's process, tell when it is ready, and wait for its end. Returns the exit code."""
        part = life.part
        self._notice(part.name, "starting")
        program = await self._thread(part.prepare)
        process, output = self._spawn(life, program)
        ending = asyncio.create_task(self._thread(process.wait), name=f"end of {part.name}")
        if not part.once:
            await self._await_ready(life, ending)
        exit_code = await asyncio.shield(ending)
        self._bury(life)
        # So that the last words are in the log; descendants that live on may hold the pipe open.
        await self._thread(lambda: output.join(1))
        return exit_code

    def _spawn(self, life: Life, program: Program) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        part = life.part
        process = subprocess.Popen(  # noqa: S603
            program.argv,
            env={**program.environment(), **self._guard.marker},
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **program.credentials(),
        )
        self._guard.watch(process.pid, program.stop_signal)
        life.process, life.stop_signal = process, program.stop_signal
        source = cast("IO[bytes]", process.stdout)
        return process, follow(part.name, source, Log(self._log_of(part.name)), part.trouble, self._show_alive)

    async def _await_ready(self, life: Life, ending: asyncio.Task[int]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ending.done():
            if await self._thread(life.part.is_ready):
                self._set_ready(life)
                return
            if time.monotonic() > deadline and life.ready.is_set():
                life.kill()
                return
            if time.monotonic() > deadline:
                log = self._log_of(life.part.name)
                raise PartFailed(
                    f"{life.part.name} was not ready after {READY_SECONDS:g} s, see {log}: {last_line(log)}"
                )
            await asyncio.wait({ending}, timeout=POLL_SECONDS)

    def _set_ready(self, life: Life) -> None:
        life.ready.set()
        self._notice(life.part.name, "ready")

    def _show_alive(self, part: str, line: str) -> None:
        # While everything stops, lost connections are no news.
        if not self._stopping:
            self._show(part, line)

    def _bury(self, life: Life) -> None:
        """End what a dead process left in its group, and let its number go."""
        if life.process is not None:
            life.kill()
            self._guard.forget(life.process.pid)
            life.process = None

    async def _end(self, life: Life) -> None:
        process = life.process
        if process is None:
            return
        ending = asyncio.create_task(self._thread(process.wait))
        hurry = asyncio.create_task(self._hurry.wait())
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(life.stop_signal)
        await asyncio.wait({ending, hurry}, timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ending.done():
            life.kill()
        await ending
        self._bury(life)
        self._notice(life.part.name, "stopped")

    async def _keep_guardian(self) -> None:
        while True:
            self._guard.renew()
            await asyncio.sleep(GUARD_CHECK_SECONDS)

    def _thread(self, work: Callable[[], T]) -> Coroutine[Any, Any, T]:
        return _await(asyncio.get_running_loop().run_in_executor(self._threads, work))


async def _await(future: asyncio.Future[T]) -> T:
    return await future


def waves(parts: Iterable[Part]) -> list[list[Part]]:
    """Group the parts so that each one's needs are in earlier groups."""
    groups: list[list[Part]] = []
    left = list(parts)
    placed: set[str] = set()
    while left:
        group = [part for part in left if placed.issuperset(part.needs)]
        if not group:
            raise LauncherError(f"parts that need each other: {', '.join(part.name for part in left)}")
        groups.append(group)
        placed.update(part.name for part in group)
        left = [part for part in left if part.name not in placed]
    return groups
