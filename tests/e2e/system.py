"""The system's own processes, started as an operator would start them, on the test run's servers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.launcher.guard import Guard
from services.launcher.program import free_port

READY_WITHIN = 60.0
POLL = 0.02


class NotReady(AssertionError):
    """A process ended, or took too long, before it was ready."""


@dataclass
class System:
    """Processes that share a database, a Redis and a model. None of them outlives the test run."""

    env: Mapping[str, str]
    folder: Path
    guard: Guard
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def start_api(self) -> tuple[subprocess.Popen[bytes], str]:
        """Start an API. Returns it and its URL, once it is ready."""
        port = free_port()
        process = self._start("services.api", {"PORT": str(port)})
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

    async def start_worker(self, queues: str = "generations", **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker. Returns it once it is ready."""
        ready = self.folder / f"ready-{len(self.running)}"
        process = self._start("services.worker", {"READY_FILE": str(ready), **settings}, queues)
        async with self._in_time(process):
            while not ready.exists():
                await self._still_starting(process)
        return process

    def _start(self, module: str, settings: Mapping[str, str], *arguments: str) -> subprocess.Popen[bytes]:
        name = f"{module}-{len(self.running)}.log"
        with (self.folder / name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **self.env, **settings, **self.guard.marker},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.guard.watch(process.pid, signal.SIGTERM)
        self.running.append(process)
        return process

    @asynccontextmanager
    async def _in_time(self, process: subprocess.Popen[bytes]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(READY_WITHIN):
                yield
        except TimeoutError as error:
            raise NotReady(self._words(process)) from error

    async def _still_starting(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            raise NotReady(self._words(process))
        await asyncio.sleep(POLL)  # a foreign process offers no event

    def _words(self, process: subprocess.Popen[bytes]) -> str:
        (log,) = self.folder.glob(f"*-{self.running.index(process)}.log")
        return log.read_text()[-4000:]

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process with kill -9."""
        process.kill()
        process.wait()
        self.guard.forget(process.pid)

    def kill_all(self) -> None:
        """End what still runs."""
        for process in self.running:
            if process.poll() is None:
                self.kill(process)

    async def stop(self, process: subprocess.Popen[bytes]) -> int:
        """Ask a process to leave. Returns its exit code."""
        process.terminate()
        code = await asyncio.to_thread(process.wait, 45)
        self.guard.forget(process.pid)
        return code
