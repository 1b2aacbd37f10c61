"""What the parts say: into files of bounded size, and the warnings also to the terminal."""

import contextlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

MAX_LOG_BYTES: Final = 5 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024
MAX_SHOWN_CHARS: Final = 400
QUIET_LEVELS: Final = frozenset({"debug", "info", "notset"})

TROUBLE: Final = re.compile(r"Traceback|(?<![\w%])(?:ERROR|FATAL|PANIC|CRITICAL|WARNING)\b|\b\w*(?:Error|Exception)\b:")
POSTGRES_TROUBLE: Final = re.compile(r"\b(?:FATAL|PANIC|WARNING): (?! *the database system is)")
VALKEY_TROUBLE: Final = re.compile(r"\d # (?!WARNING|Valkey is now ready to exit)")

Show = Callable[[str, str], None]


class Log:
    """A file that is renamed to `….1` when it has grown to `limit` bytes; an older one of that name is lost."""

    def __init__(self, path: Path, limit: int = MAX_LOG_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._file = path.open("ab")

    def write(self, line: bytes) -> None:
        """Add a line."""
        if self._file.tell() + len(line) > self._limit:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab")
        self._file.write(line)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def trouble(line: str, pattern: re.Pattern[str]) -> str | None:
    """What of a part's line is worth showing to a person; None when it is nothing."""
    if line.startswith("{"):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "level" in event:
            return _of_event(event)
    return line[:MAX_SHOWN_CHARS] if pattern.search(line) else None


def _of_event(event: dict[str, object]) -> str | None:
    level = str(event.pop("level")).lower()
    if level in QUIET_LEVELS:
        return None
    name = str(event.pop("event", ""))
    error = str(event.pop("exception", "")).strip().rpartition("\n")[2]
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in {"timestamp", "service", "logger"})
    return " ".join(filter(None, (level, name, rest, error)))[:MAX_SHOWN_CHARS]


def follow(part: str, source: IO[bytes], log: Log, pattern: re.Pattern[str], show: Show) -> threading.Thread:
    """Copy a process's output line by line until it ends, in a thread of its own."""

    def copy() -> None:
        with source:
            while line := source.readline(MAX_LINE_BYTES):
                # A full disk must not stop the process that writes.
                with contextlib.suppress(OSError):
                    log.write(line if line.endswith(b"\n") else line + b"\n")
                told = trouble(line.decode(errors="replace").rstrip(), pattern)
                if told is not None:
                    show(part, told)
        log.close()

    thread = threading.Thread(target=copy, name=f"output of {part}", daemon=True)
    thread.start()
    return thread


def last_line(path: Path) -> str:
    """The last line of a log, shortened; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - MAX_LINE_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:MAX_SHOWN_CHARS] if lines else ""
