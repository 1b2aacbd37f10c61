"""What is written past the log: prints of libraries, warnings, errors that nobody catches. All of it becomes events."""

import asyncio
import atexit
import io
import logging
import os
import sys
import threading
from typing import Any, Final

from shared.errors import SettingsInvalid
from shared.settings import LogSettings
from shared.telemetry.logs import configure_logging, get_logger

log = get_logger(__name__)

STANDARD_OUTPUT: Final = 1
READ_OUT_WITHIN: Final = 1.0
"""Seconds that the end of a process waits for the last lines; a child process may hold the pipe open for longer."""


def log_everything(service: str) -> None:
    """Configure the logs of a process, by LOG_LEVEL and LOG_FORMAT, and let nothing be written past them.

    To be called once, before all else. Settings that are unusable are left to `Settings.load`, which tells of them.
    """
    try:
        settings = LogSettings.load()
    except SettingsInvalid:
        settings = LogSettings.model_construct()
    configure_logging(service=service, level=settings.log_level, log_format=settings.log_format)
    logging.captureWarnings(capture=True)
    sys.excepthook = _of_program
    sys.unraisablehook = _of_destructor
    threading.excepthook = _of_thread
    _take_standard_output()
    sys.stdout = Lines("stdout", logging.INFO, sys.stdout.fileno())
    # The log itself keeps the real one, and so does the interpreter: what it says of its own crash must not get lost.
    sys.stderr = Lines("stderr", logging.WARNING, sys.stderr.fileno())


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Log what fails in an event loop while nobody waits for it. The loop's own report would quote the error."""
    loop.set_exception_handler(_of_event_loop)


def _of_program(_kind: type[BaseException], error: BaseException, _trace: object) -> None:
    log.critical("uncaught_error", where="program", exc_info=error)


def _of_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        name = failed.thread.name if failed.thread else None
        log.error("uncaught_error", where="thread", thread=name, exc_info=failed.exc_value)


def _of_destructor(failed: Any) -> None:  # noqa: ANN401 - Python's hook, whose argument has no public type
    log.error("uncaught_error", where="destructor", of=type(failed.object).__name__, exc_info=failed.exc_value)


def _of_event_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.error("uncaught_error", where="event loop", what=context["message"], exc_info=context.get("exception"))


class Lines(io.TextIOBase):
    """A text stream whose every line becomes an event, in the place of one on a file descriptor."""

    def __init__(self, name: str, level: int, descriptor: int) -> None:
        self._log = logging.getLogger(name)
        self._level = level
        self._descriptor = descriptor
        self._of_thread = threading.local()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def fileno(self) -> int:
        """The file descriptor, for child processes."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Log each line that this ends; the rest waits for more of the same thread."""
        *lines, rest = (getattr(self._of_thread, "rest", "") + text).split("\n")
        self._of_thread.rest = rest
        for line in lines:
            self._tell(line)
        return len(text)

    def flush(self) -> None:
        """Log what has no line's end yet."""
        rest, self._of_thread.rest = getattr(self._of_thread, "rest", ""), ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        # Logging complains of its own failures on this very stream.
        if line.strip() and not getattr(self._of_thread, "telling", False):
            self._of_thread.telling = True
            try:
                self._log.log(self._level, "%s", line.strip())
            finally:
                self._of_thread.telling = False


def _take_standard_output() -> None:
    """Log what is written to the file descriptor itself, as Celery writes its last words from a signal's handler."""
    reader, writer = os.pipe()
    kept = os.dup(STANDARD_OUTPUT)
    os.dup2(writer, STANDARD_OUTPUT)
    os.close(writer)
    following = threading.Thread(target=_follow, args=(reader,), name="standard output", daemon=True)
    following.start()

    def give_back() -> None:
        os.dup2(kept, STANDARD_OUTPUT)  # this closes the pipe, so its reader comes to the end
        following.join(READ_OUT_WITHIN)

    atexit.register(give_back)


def _follow(reader: int) -> None:
    lines = Lines("stdout", logging.INFO, STANDARD_OUTPUT)
    with open(reader, encoding="utf-8", errors="replace", newline="\n") as pipe:
        for line in pipe:
            lines.write(line)
    lines.flush()
