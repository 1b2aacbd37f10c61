"""The data folder: everything that `cortexai up` keeps between two runs.

lock, guard.lock   who uses it: the launcher, and what it left behind
secrets.json       passwords and the key of access tokens, made once
running.json       the ports, while it runs
postgres/, valkey/ the servers' own folders
logs/, run/        output of the parts; files that say that a worker is ready
"""

import contextlib
import fcntl
import json
import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from services.launcher.errors import AlreadyRunning, DataDirUnusable

DEFAULT: Final = Path(".cortexai")
LEFTOVERS_SECONDS: Final = 15.0
MAX_PATH_BYTES: Final = 900
"""PostgreSQL has room for 1,023 bytes, and what is in the folder needs some of them. Nothing else limits the path."""
MAX_NAME_BYTES: Final = 255
"""Of a file or a folder, on nearly every file system."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is generated once. The passwords are hexadecimal, so that they fit into any URL."""

    jwt_secret_key: str
    postgres_password: str
    valkey_password: str
    flower_password: str
    data_source_key: str


@dataclass(frozen=True, slots=True)
class Running:
    """Where the parts of a running system are. A port is None when that part is external."""

    pid: int
    host: str
    port: int
    flower_port: int
    postgres_port: int | None
    valkey_port: int | None
    model_port: int | None


@dataclass(frozen=True, slots=True)
class DataDir:
    """A data folder that this process holds. `guard_lock` is for the guardian to inherit."""

    path: Path
    secrets: Secrets
    guard_lock: int

    @property
    def logs(self) -> Path:
        """Where the parts' output goes."""
        return self.path / "logs"

    def log_of(self, part: str) -> Path:
        """The log of one part."""
        return self.logs / f"{part}.log"

    def ready_file(self, part: str) -> Path:
        """The file with which a worker says that it is ready."""
        return self.path / "run" / f"{part}.ready"

    def publish(self, running: Running) -> None:
        """Tell `cortexai doctor` where everything is."""
        write_private(self.path / "running.json", json.dumps(asdict(running)))

    def withdraw(self) -> None:
        """Nothing runs here any more."""
        (self.path / "running.json").unlink(missing_ok=True)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[DataDir]:
    """Make the folder when it is absent, and hold it alone.

    Processes that a killed launcher left behind are being ended by its guardian; this waits for that.

    Raises:
        DataDirUnusable: it is a file, can't be written, is damaged, or its path is too long.
        AlreadyRunning: somebody else holds it.

    """
    path = path.absolute()
    if obstacle := why_no_folder(path):
        raise DataDirUnusable(f"{obstacle}: choose another --data-dir")
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context(_opened(path / "lock"))
            if not _lock(lock, 0):
                raise AlreadyRunning(f"another `cortexai up` uses {path}: stop it, or choose another --data-dir")
            guard_lock = stack.enter_context(_opened(path / "guard.lock"))
            if not _lock(guard_lock, LEFTOVERS_SECONDS):
                raise AlreadyRunning(f"processes of an earlier `cortexai up` still use {path}")
            (path / ".gitignore").write_text("*\n")
            for name in ("logs", "run"):
                (path / name).mkdir(mode=0o700, exist_ok=True)
            data = DataDir(path, _secrets(path), guard_lock)
            data.withdraw()
        except (NotADirectoryError, FileExistsError) as error:
            raise DataDirUnusable(f"{path} is not a folder: choose another --data-dir") from error
        except OSError as error:
            raise DataDirUnusable(f"{path} can't be used: {error.strerror}") from error
        yield data
        data.withdraw()


def why_no_folder(path: Path) -> str:
    """What is wrong with the path itself, whatever is there; empty when nothing is."""
    length = len(os.fsencode(os.path.realpath(path)))
    if length > MAX_PATH_BYTES:
        return f"the data folder's path has {length} bytes, and PostgreSQL takes no more than {MAX_PATH_BYTES}"
    longest = max((os.fsencode(part) for part in path.parts), key=len)
    if len(longest) > MAX_NAME_BYTES:
        return (
            f"a name in the data folder's path has {len(longest)} bytes, and Linux takes no more than {MAX_NAME_BYTES}"
        )
    return ""


def nearest_existing(path: Path) -> Path:
    """What is there already of a path: itself, or the nearest of the folders that it would be in."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - Path's raises for some


def is_held(path: Path) -> bool:
    """Whether a `cortexai up` runs on this folder."""
    try:
        with _opened(path / "lock", create=False) as lock:
            return not _lock(lock, 0)
    except OSError:
        return False


def read_running(path: Path) -> tuple[Running, Secrets] | None:
    """Where the parts of the system are that runs on this folder; None when there is none."""
    if not is_held(path):
        return None
    try:
        return Running(**json.loads((path / "running.json").read_text())), _secrets(path)
    except (OSError, ValueError, TypeError):
        # It is just starting or stopping.
        return None


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step. Only its owner can read it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _secrets(path: Path) -> Secrets:
    file = path / "secrets.json"
    try:
        kept = json.loads(file.read_text())
        # A release that had no data sources made none for them.
        found = Secrets(**{"data_source_key": _new_data_source_key(), **kept})
        if "data_source_key" not in kept:
            write_private(file, json.dumps(asdict(found), indent=2))
        return found  # noqa: TRY300 - what is wrong with the file is told below
    except FileNotFoundError:
        if (path / "postgres" / "cluster").exists():
            raise DataDirUnusable(f"{file} is missing, and {path / 'postgres'} can't be opened without it") from None
    except (ValueError, TypeError) as error:
        raise DataDirUnusable(f"{file} is damaged: restore it, or choose another --data-dir") from error
    made = Secrets(
        jwt_secret_key=secrets.token_hex(32),
        postgres_password=secrets.token_hex(16),
        valkey_password=secrets.token_hex(16),
        flower_password=secrets.token_hex(8),
        data_source_key=_new_data_source_key(),
    )
    write_private(file, json.dumps(asdict(made), indent=2))
    return made


def _new_data_source_key() -> str:
    """A key as DATA_SOURCE_KEYS has them."""
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@contextlib.contextmanager
def _opened(path: Path, *, create: bool = True) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, seconds: float) -> bool:
    """Take the lock on an open file, trying for so long. Returns whether it was taken."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True
