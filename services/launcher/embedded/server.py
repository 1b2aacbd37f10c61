"""What the embedded servers have in common: how to start, await and stop one on its own, without the supervisor."""

import abc
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.launcher.errors import PartFailed
from services.launcher.guard import Guard
from services.launcher.program import Program, free_port

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.02
ATTEMPTS: Final = 3
TAIL_BYTES: Final = 2000


class EmbeddedServer(abc.ABC):
    """A server on a loopback port with a password, whose files are in one folder.

    The port (a free one unless given) and the password (a random one unless given; needed again to open an old folder)
    stay the same over all starts of one object. As a context manager it starts and stops.
    """

    name: str
    log_name = "server.log"

    def __init__(self, directory: Path, *, port: int | None, password: str | None) -> None:
        self.directory = directory.resolve()
        self.password = password or secrets.token_hex(16)
        self._fixed_port = port
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def port(self) -> int:
        """Where it listens, on the loopback address."""
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """How to connect, with the password."""

    @abc.abstractmethod
    def prepare(self) -> Program:
        """Make or mend what the server needs on disk. Returns how to run it in the foreground."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers."""

    @property
    def pid(self) -> int | None:
        """The server's process; None while it doesn't run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """Where its output goes when it is started by `start`."""
        return self.directory / self.log_name

    def start(self) -> str:
        """Start it and wait until it answers. Returns its URL.

        It does not outlive the calling process.

        Raises:
            PartFailed: it died, or did not answer in time.
            CannotStart: it can't run here.

        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start_once()
            except PartFailed:
                # Somebody may have taken the port between its choice and the server's start.
                if attempt == ATTEMPTS or self._fixed_port is not None:
                    raise
                self._port = None
            else:
                break
        self._fixed_port = self.port
        return self.url

    def _start_once(self) -> None:
        program = self.prepare()
        self._guard = Guard()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                program.argv,
                env={**program.environment(), **self._guard.marker},
                cwd=program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **program.credentials(),
            )
        self._guard.watch(self._process.pid, program.stop_signal)
        self._stop_signal = program.stop_signal
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise PartFailed(f"{self.name} did not start: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it politely, saving everything; by force when it takes too long. Nothing happens when it doesn't run."""
        self._end(self._stop_signal if self._process is not None else signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would. What it had acknowledged as durable is there after the next start."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.kill(self._process.pid, number)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._guard is not None:
            # Not forgotten before: the guardian ends what a killed server left behind.
            self._guard.close()
            self._guard = None

    def _last_words(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing; see {self.log_path}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
