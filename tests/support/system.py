"""The system's own processes, on the test run's servers."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from services.launcher.program import free_port
from tests.support.databases import as_app
from tests.support.forks import Forks, Process

READY_WITHIN = 60.0
STOPPED_WITHIN = 60.0
POLL = 0.02
FORKED = frozenset({"services.api", "services.worker"})
"""What the parent of forks has imported. The clock's double replaces what these import, so it is started anew."""


def environment(database_url: str, redis_url: str, groq_url: str, secret: str, **settings: str) -> dict[str, str]:
    """What the processes of a test's system are told, with settings that go before."""
    return {
        "DATABASE_URL": as_app(database_url),
        "REDIS_URL": redis_url,
        "JWT_SECRET_KEY": secret,
        "GROQ_API_KEY": "test",
        "GROQ_BASE_URL": groq_url,
        "GROQ_MODEL": "double",
        "BCRYPT_ROUNDS": "10",
        "USER_MAX_LIVE_GENERATIONS": "1000",
        "SIGNUPS_PER_HOUR": "0",
        "MAILS_PER_HOUR": "0",
        "MAILS_PER_HOUR_OF_NETWORK": "0",
        "USER_MAX_STREAMS": "10000",
        "LEASE_SECONDS": "4",
        "WORKER_DRAIN_SECONDS": "1",
        "LOG_LEVEL": "info",
        # Most of these systems have no worker for titles, for which each stream waits a second at its end.
        "TITLE_BY_MODEL": "false",
        **settings,
    }


class NotReady(AssertionError):
    """A process ended, or took too long, before it was ready."""


class NotStopped(AssertionError):
    """A process that was told to leave did not."""


@dataclass
class System:
    """Processes that share a database, a Redis and a model. None of them outlives the test run.

    Without `forks`, they are started as an operator starts them, which takes seconds for each. `database_url` is
    the superuser's, by which tests look behind the system's back; without it, that is done as the system's role.
    """

    env: Mapping[str, str]
    folder: Path
    guard: Guard
    valkey: EmbeddedValkey
    forks: Forks | None
    database_url: str = ""
    running: list[Process] = field(default_factory=list)

    async def start_api(self, **settings: str) -> tuple[Process, str]:
        """Start an API, at a port of its own unless `PORT` is given. Returns it and its URL, once it is ready."""
        port = settings.pop("PORT", None) or free_port()
        process = self.start(["services.api"], PORT=str(port), **settings)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as http, self._in_time(process):
            while True:
                try:
                    if (await http.get("/readyz")).status_code == httpx.codes.OK:
                        break
                except httpx.TransportError:
                    pass
                await self._still_starting(process)
        return process, url

    async def start_worker(self, queues: str = "generations", *, ahead: float = 0, **settings: str) -> Process:
        """Start a worker whose wall clock is so many seconds `ahead`. Returns it once it is ready."""
        ready = self.folder / f"ready-{len(self.running)}"
        program = ["tests.doubles.clock", str(ahead), "services.worker"] if ahead else ["services.worker"]
        process = self.start([*program, queues], READY_FILE=str(ready), **settings)
        async with self._in_time(process):
            while not ready.exists():
                await self._still_starting(process)
        return process

    def start(self, program: Sequence[str], **settings: str) -> Process:
        """Start a module with its arguments, as `python -m` does."""
        env = {**os.environ, **self.env, **settings, **self.guard.marker}
        log = self.folder / f"{len(self.running)}.log"
        process: Process
        if self.forks and program[0] in FORKED:
            process = self.forks.start(program[0], program[1:], env, log)
        else:
            with log.open("wb") as output:
                command = [sys.executable, "-m", *program]
                process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
        self.guard.watch(process.pid, signal.SIGTERM)
        self.running.append(process)
        return process

    @asynccontextmanager
    async def _in_time(self, process: Process) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(READY_WITHIN):
                yield
        except TimeoutError as error:
            raise NotReady(self.words(process)[-4000:]) from error

    async def _still_starting(self, process: Process) -> None:
        if process.poll() is not None:
            raise NotReady(self.words(process)[-4000:])
        await asyncio.sleep(POLL)  # a foreign process offers no event

    def words(self, process: Process) -> str:
        """What a process has logged."""
        return (self.folder / f"{self.running.index(process)}.log").read_text()

    async def logged(self, process: Process, event: str, within: float = 20) -> None:
        """Wait until a process has logged an event."""
        await eventually(lambda: f'"{event}"' in self.words(process), within)

    def ask(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the database, or change it, behind everybody's back."""
        with psycopg.connect(self.database_url or self.env["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str, which: str = "true", *values: object) -> int:
        """How many rows there are."""
        ((count,),) = self.ask(f"SELECT count(*)::int FROM {table} WHERE {which}", *values)  # noqa: S608 - words of ours
        assert isinstance(count, int)
        return count

    def age_queue(self) -> None:
        """Make what waits for a worker seem to have waited for a minute, so that the next sweep sends its job again."""
        self.ask("UPDATE generations SET queued_at = queued_at - interval '1 minute' WHERE status = 'queued'")

    def kill(self, process: Process) -> None:
        """End a process with kill -9."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.guard.forget(process.pid)

    def kill_all(self) -> None:
        """End what still runs."""
        for process in self.running:
            if process.poll() is None:
                self.kill(process)

    async def lose_redis(self) -> None:
        """End Redis with kill -9, and start it again without its data."""
        await asyncio.to_thread(self.valkey.kill)
        shutil.rmtree(self.valkey.directory / "appendonlydir")
        await asyncio.to_thread(self.valkey.start)

    def end(self) -> None:
        """End what still runs, Redis too."""
        self.kill_all()
        self.valkey.stop()

    async def stop(self, process: Process) -> int:
        """Ask a process to leave. Returns its exit code.

        Raises:
            NotStopped: it did not leave in time. Tells where its threads are, if it is a fork.

        """
        process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(process.wait, STOPPED_WITHIN)
        except subprocess.TimeoutExpired as error:
            process.send_signal(signal.SIGABRT)
            await asyncio.to_thread(process.wait)
            raise NotStopped(self.words(process)[-8000:]) from error
        finally:
            self.guard.forget(process.pid)
        return code


async def eventually(holds: Callable[[], bool], within: float = 20) -> None:
    """Wait until something holds of a foreign process, which offers no event.

    Raises:
        TimeoutError: it did not, `within` so many seconds.

    """
    async with asyncio.timeout(within):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL)
