"""What the launcher knows of a process before it runs."""

import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict

LOOPBACK: Final = "127.0.0.1"


class Credentials(TypedDict, total=False):
    """The arguments with which `subprocess.Popen` takes another account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Program:
    """A command to run.

    `env` is added to the environment of the launcher. `stop_signal` asks it to leave politely. `uid` is the account
    that it runs under, None for the launcher's own.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    uid: int | None = None

    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        return {**os.environ, **self.env}

    def credentials(self) -> Credentials:
        """What `subprocess.Popen` needs to run it under its account; supplementary groups are given up."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}


def free_port(preferred: int = 0, host: str = LOOPBACK) -> int:
    """A port that nobody listens on: `preferred` when it is free, otherwise any."""
    if preferred and not why_not_listen(preferred, host):
        return preferred
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def why_not_listen(port: int, host: str = LOOPBACK) -> str:
    """What keeps a server from listening here; empty when nothing does. Lingering connections don't count."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or type(error).__name__
    return ""
