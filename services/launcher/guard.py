"""The launcher's end of the guardian."""

import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

MARKER_NAME: Final = "CORTEXAI_LAUNCH"
CLOSE_SECONDS: Final = 12.0
POLITE_SECONDS: Final = 5.0


class Guard:
    """Sees to it that no process outlives the one that holds this, however that one dies.

    Start processes with `marker` in their environment and call `watch` and `forget` for each. Closing it ends what is
    still watched. `inherit` are file descriptors that stay open until everything has ended. What was asked to leave has
    `polite_seconds` for that.
    """

    def __init__(self, inherit: tuple[int, ...] = (), *, polite_seconds: float = POLITE_SECONDS) -> None:
        self._token = secrets.token_hex(8)
        self._inherit = inherit
        self._polite_seconds = polite_seconds
        self._watched: dict[int, signal.Signals] = {}
        self._process = self._spawn()

    @property
    def marker(self) -> Mapping[str, str]:
        """What to add to the environment of each process."""
        return {MARKER_NAME: self._token}

    def watch(self, pid: int, stop_signal: signal.Signals) -> None:
        """Take a process (and its group and descendants) under guard."""
        self._watched[pid] = stop_signal
        self._tell(f"+ {pid} {stop_signal.value}\n")

    def forget(self, pid: int) -> None:
        """Tell that a process was reaped: its number may soon belong to somebody else."""
        self._watched.pop(pid, None)
        self._tell(f"- {pid}\n")

    def renew(self) -> bool:
        """Replace a guardian that was killed. Returns whether that was necessary."""
        if self._process.poll() is None:
            return False
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._spawn()
        for pid, stop_signal in self._watched.items():
            self._write(f"+ {pid} {stop_signal.value}\n")
        return True

    def close(self) -> None:
        """Let the guardian end what is left, and wait for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        if not self.renew():
            self._write(line)

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:
            # It died this moment; the next `renew` tells the new one everything.
            return

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("guardian.py")
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(program), f"{MARKER_NAME}={self._token}", str(self._polite_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=self._inherit,
            start_new_session=True,
            bufsize=0,
        )
