import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.launcher.errors import DataDirUnusable, LauncherError, PartFailed
from services.launcher.guard import Guard
from services.launcher.program import Program
from services.launcher.supervisor import Part, State, Supervisor, waves

FOR_EVER = "import signal; signal.pause()"
PARENT = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid, flush=True)
exec(sys.argv[1])
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\nwhile True: signal.pause()"


@dataclass
class Seen:
    """What a supervisor told, and events to wait for it."""

    changes: list[tuple[str, State]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def notice(self, part: str, state: State) -> None:
        self.changes.append((part, state))
        self.news.set()

    def show(self, part: str, line: str) -> None:
        self.lines.append(f"{part}: {line}")

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not check():
                await self.news.wait()
                self.news.clear()

    def order(self, state: State) -> list[str]:
        return [part for part, reached in self.changes if reached == state]


def python(code: str, *arguments: str) -> Callable[[], Program]:
    return lambda: Program((sys.executable, "-c", code, *arguments))


def log_of(folder: Path) -> Callable[[str], Path]:
    return lambda part: folder / f"{part}.log"


@asynccontextmanager
async def supervised(folder: Path, *parts: Part) -> AsyncIterator[tuple[Supervisor, Seen]]:
    seen = Seen()
    with Guard() as guard:
        supervisor = Supervisor(parts, guard, log_of(folder), seen.notice, seen.show)
        try:
            yield supervisor, seen
        finally:
            supervisor.hurry()
            await supervisor.stop()


async def test_a_part_starts_when_what_it_needs_is_ready_and_stops_before_it(tmp_path: Path) -> None:
    parts = (
        Part("api", python(FOR_EVER), needs=("schema", "database")),
        Part("database", python(FOR_EVER)),
        Part("schema", python(""), once=True, needs=("database",)),
    )
    async with supervised(tmp_path, *parts) as (supervisor, seen):
        await supervisor.start()
        assert seen.order("ready") == ["database", "schema", "api"]
        await supervisor.stop()
    assert seen.order("stopped") == ["api", "database"]


async def test_a_part_that_dies_is_started_again(tmp_path: Path) -> None:
    async with supervised(tmp_path, Part("server", python(FOR_EVER))) as (supervisor, seen):
        await supervisor.start()
        first = supervisor.pids()["server"]
        os.kill(first, signal.SIGKILL)
        await seen.until(lambda: seen.order("ready") == ["server", "server"])
        assert supervisor.pids()["server"] != first
        assert any("died (exit code -9)" in line for line in seen.lines)


async def test_what_a_dead_part_left_in_its_group_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    ready = Part("server", python(PARENT, FOR_EVER), is_ready=lambda: log.exists() and log.read_text().endswith("\n"))
    async with supervised(tmp_path, ready) as (supervisor, seen):
        await supervisor.start()
        grandchild = int(log.read_text())
        os.kill(supervisor.pids()["server"], signal.SIGKILL)
        await seen.until(lambda: seen.order("ready") == ["server", "server"])
        assert not is_alive(grandchild)


async def test_a_part_that_dies_again_and_again_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    broken = Part("broken", python("raise SystemExit('no disk')"), is_ready=lambda: False)
    async with supervised(tmp_path, broken) as (supervisor, seen):
        with pytest.raises(PartFailed, match=r"broken died \(exit code 1\), see .*broken\.log: no disk"):
            await supervisor.start()
        assert seen.order("starting") == ["broken"] * 3


async def test_work_that_is_done_once_is_not_tried_again_when_it_fails(tmp_path: Path) -> None:
    async with supervised(tmp_path, Part("schema", python("raise SystemExit(3)"), once=True)) as (supervisor, seen):
        with pytest.raises(PartFailed, match="exit code 3"):
            await supervisor.start()
        assert seen.order("starting") == ["schema"]


async def test_a_part_that_can_never_run_here_fails_the_start_at_once(tmp_path: Path) -> None:
    def refuse() -> Program:
        raise DataDirUnusable("made by another version")

    async with supervised(tmp_path, Part("database", refuse)) as (supervisor, _):
        with pytest.raises(DataDirUnusable, match="made by another version"):
            await supervisor.start()


async def test_a_program_that_does_not_exist_fails_the_start(tmp_path: Path) -> None:
    missing = Part("missing", lambda: Program((str(tmp_path / "nothing"),)))
    async with supervised(tmp_path, missing) as (supervisor, _):
        with pytest.raises(PartFailed, match="No such file or directory"):
            await supervisor.start()


async def test_who_is_in_a_hurry_does_not_wait_for_a_part_that_ignores_its_signal(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    stubborn = Part("deaf", python(STUBBORN), is_ready=lambda: log.exists() and "deaf" in log.read_text())
    async with supervised(tmp_path, stubborn) as (supervisor, _):
        await supervisor.start()
        supervisor.hurry()
        began = time.monotonic()
        await supervisor.stop()
        assert time.monotonic() - began < 3


async def test_warnings_are_shown_and_everything_is_kept_in_the_log(tmp_path: Path) -> None:
    code = 'print(\'{"event": "low", "level": "warning"}\'); print("all is well")'
    async with supervised(tmp_path, Part("talker", python(code), once=True)) as (supervisor, seen):
        await supervisor.start()
    assert seen.lines == ["talker: warning low"]
    assert "all is well" in (tmp_path / "talker.log").read_text()


def test_parts_that_need_each_other_are_refused() -> None:
    with pytest.raises(LauncherError, match="a, b"):
        waves([Part("a", python(""), needs=("b",)), Part("b", python(""), needs=("a",))])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
