"""Programs that are started as forks of one process, which has imported what they need.

Python takes seconds to import it, more than most tests take for anything else. What a program does from its first line on
is the same as after `python -m MODULE`: its arguments, environment, output, session, signals and exit code. Not so are the
modules that it imports: they were imported before its environment was known.
"""

import faulthandler
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

IMPORTED: Final = (
    "services.api.server",
    "services.worker.consumer",
    "services.worker.tasks",
    "services.worker.broker",
    "shared.database_server",
    # What Celery imports by name when a worker begins.
    *("billiard.pool", "celery.app.control", "celery.apps.worker", "celery.fixups.django"),
)
OK: Final = b"ready\n"
SIZE: Final = 1024 * 1024
"""Bytes. An order is its environment, most of all."""


class Process(Protocol):
    """A process that a test started: a `Popen`, or a fork."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Its exit code; None while it runs. Minus a signal's number after that signal."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, for so many seconds. Returns its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.

        """
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        ...


class Fork:
    """A process that is a fork, and no child of this process: its parent tells when it ends."""

    def __init__(self, told: socket.socket, what: Sequence[str]) -> None:
        self._told, self._what = told, what
        self._code: int | None = None
        self.pid = int(self._line())

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._told.recv(1)
            if not byte:
                raise ChildProcessError(f"the parent of {self._what} is gone")
            line += byte
        return line

    def poll(self) -> int | None:
        """See `Process`."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """See `Process`."""
        if self._code is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._told, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(self._what, timeout or 0)
            self._code = int(self._line())
            self._told.close()
        return self._code

    def send_signal(self, sig: int) -> None:
        """See `Process`."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class Forks:
    """Starts forks, until it is closed. They may live on."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="forks"))  # short: a socket's path has at most 100 bytes
        self._path = self._folder / "socket"
        command = [sys.executable, "-m", "tests.support.forks", str(self._path)]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self._parent.stdout is None or self._parent.stdout.readline() != OK:
            raise ChildProcessError(f"the parent of forks ended with {self._parent.wait(10)}")

    def start(self, module: str, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Fork:
        """Run a module as `python -m` does, in a session of its own, with this environment and its output in a file."""
        log.touch()
        told = socket.socket(socket.AF_UNIX)
        told.connect(str(self._path))
        order = {"module": module, "arguments": list(arguments), "env": dict(env), "log": str(log)}
        told.sendall(json.dumps(order).encode() + b"\n")
        return Fork(told, [module, *arguments])

    def close(self) -> None:
        """End the parent. Forks that still run are nobody's children then."""
        for pipe in (self._parent.stdin, self._parent.stdout):
            if pipe is not None:
                pipe.close()
        self._parent.wait(10)
        shutil.rmtree(self._folder)


def serve(path: str) -> dict[str, Any]:
    """Take orders until standard input closes. Returns in each fork, with its order."""
    children: dict[int, socket.socket] = {}
    woken, waking = socket.socketpair()
    waking.settimeout(0)
    woken.settimeout(0)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno())
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)
        listener.listen()
        for source in (listener, woken, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        sys.stdout.buffer.write(OK)
        sys.stdout.buffer.flush()
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if sys.stdin in ready:
                sys.exit(0)
            if woken in ready:
                woken.recv(SIZE)
                _tell(children)
            if listener in ready:
                told, _ = listener.accept()
                with told.makefile("rb") as lines:
                    order: dict[str, Any] = json.loads(lines.readline())
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for other in (told, woken, waking, *children.values()):
                        other.close()
                    return order
                children[pid] = told
                told.sendall(b"%d\n" % pid)


def _tell(children: dict[int, socket.socket]) -> None:
    """Tell of the children that have ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        # Who started it may not want to know.
        with children.pop(pid) as told, suppress(BrokenPipeError):
            told.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(order: dict[str, Any]) -> None:
    """Run what was ordered, as the main program."""
    os.setsid()
    log, nothing = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["", *order["arguments"]]
    faulthandler.enable()  # after SIGABRT, it writes where all threads are
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    import_module("services.api.routes").make_routes(docs_pages=True, web_page=True)
    gc.collect()
    gc.freeze()  # a fork that looked for garbage in all this would copy all this
    if threading.active_count() > 1:
        sys.exit("a process with threads can't be forked")
    become(serve(sys.argv[1]))
