"""A whole system on loopback whose every process can be killed, frozen and started again under the same address."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from alembic import command
from alembic.config import Config

import migrations
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from services.launcher.program import free_port

WORKERS: Final = 4
APIS: Final = 2
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.05


@dataclass(eq=False)
class Node:
    """One of the system's own processes. It is `up` while it is ready and nobody does anything to it."""

    name: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    url: str = ""
    up: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def ready_file(self) -> Path:
        """What a worker touches once it is ready."""
        return self.log.with_suffix(".ready")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    async def is_ready(self) -> bool:
        """Whether it can work."""
        if not self.url:
            return self.ready_file.exists()
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False


@dataclass
class ChaosSystem:
    """PostgreSQL, Valkey, APIs, workers, maintenance and beat, all in one folder."""

    folder: Path
    groq_url: str
    postgres: EmbeddedPostgres = field(init=False)
    valkey: EmbeddedValkey = field(init=False)
    apis: list[Node] = field(default_factory=list)
    workers: list[Node] = field(default_factory=list)
    others: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.postgres = EmbeddedPostgres(self.folder / "pg", settings={"max_connections": "200"})
        self.valkey = EmbeddedValkey(self.folder / "valkey")
        self._guard = Guard()

    async def start(self) -> None:
        """Start everything, and wait until it is ready."""
        await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.valkey.start)
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["database_url"] = self.postgres.url.replace("postgresql://", "postgresql+psycopg://")
        await asyncio.to_thread(command.upgrade, config, "head")
        for number in range(APIS):
            port = free_port()
            env = {"PORT": str(port)}
            url = f"http://127.0.0.1:{port}"
            self.apis.append(self._node(f"api-{number}", ("services.api",), env, url))
        for number in range(WORKERS):
            self.workers.append(self._node(f"worker-{number}", ("services.worker", "generations")))
        self.others.append(self._node("maintenance", ("services.worker", "summaries,maintenance")))
        self.others.append(self._node("beat", ("services.worker", "beat")))
        await asyncio.gather(*(self.launch(node) for node in (*self.apis, *self.workers, *self.others)))

    def _node(self, name: str, arguments: tuple[str, ...], env: Mapping[str, str] | None = None, url: str = "") -> Node:
        return Node(name, ("-m", *arguments), env or {}, self.folder / f"{name}.log", url)

    async def launch(self, node: Node) -> None:
        """Start a process, and wait until it is ready.

        Raises:
            TimeoutError: it is not.

        """
        process = self._spawn(node)
        deadline = time.monotonic() + READY_SECONDS
        while not await node.is_ready():
            if process.poll() is not None:
                # It may have been refused by a server that is down at the moment; an operator's supervisor starts it again.
                self._guard.forget(process.pid)
                await asyncio.sleep(POLL_SECONDS)
                await self.launch(node)
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{node.name} is not ready")
            await asyncio.sleep(POLL_SECONDS)
        node.up = True

    def _spawn(self, node: Node) -> subprocess.Popen[bytes]:
        node.ready_file.unlink(missing_ok=True)
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                [sys.executable, *node.arguments],
                env={**self._environment(), "READY_FILE": str(node.ready_file), **node.env, **self._guard.marker},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.watch(node.process.pid, signal.SIGTERM)
        return node.process

    def _environment(self) -> dict[str, str]:
        outside = ("CELERY_BROKER_URL", "STREAM_REDIS_URL", "TAVILY_API_KEY", "PYTHONDONTWRITEBYTECODE")
        return {name: value for name, value in os.environ.items() if name not in outside} | {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "JWT_SECRET_KEY": self._secret,
            "GROQ_API_KEY": "chaos",
            "GROQ_BASE_URL": self.groq_url,
            "GROQ_MODEL": "double",
            "USER_MAX_STREAMS": "1000",
            "ACCESS_TOKEN_EXPIRE_MINUTES": "10080",  # its users don't refresh
            "BCRYPT_ROUNDS": "10",
            "SIGNUPS_PER_HOUR": "0",
            "LOG_LEVEL": "warning",
        }

    _secret: str = field(default_factory=lambda: secrets.token_hex(32))

    async def kill(self, node: Node) -> None:
        """End a process with kill -9."""
        node.up = False
        if node.process is not None:
            node.process.kill()
            await asyncio.to_thread(node.process.wait)
            self._guard.forget(node.process.pid)

    async def terminate(self, node: Node) -> int | None:
        """Ask a process to leave. Returns its exit code; None when it had to be killed."""
        node.up = False
        if node.process is None:
            return None
        node.process.terminate()
        try:
            code = await asyncio.to_thread(node.process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            await self.kill(node)
            return None
        self._guard.forget(node.process.pid)
        return code

    async def crash_valkey(self, *, wipe: bool) -> None:
        """Kill Valkey, with `wipe` lose all that it knew, and start it again."""
        await asyncio.to_thread(self.valkey.kill)
        if wipe:
            shutil.rmtree(self.folder / "valkey" / "appendonlydir", ignore_errors=True)
        await asyncio.to_thread(self.valkey.start)

    async def crash_postgres(self) -> None:
        """Kill PostgreSQL, and start it again: it recovers from its log."""
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.to_thread(self.postgres.start)

    async def stop(self) -> None:
        """End everything."""
        for node in (*self.others, *self.workers, *self.apis):
            if node.process is not None and node.process.poll() is None:
                await self.kill(node)
        self._guard.close()
        await asyncio.to_thread(self.valkey.stop)
        await asyncio.to_thread(self.postgres.stop)
