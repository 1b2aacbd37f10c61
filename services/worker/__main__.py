"""`python -m services.worker QUEUE[,QUEUE…]`: work on these queues until SIGTERM. `… beat`: send the periodic jobs."""

import asyncio
import os
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from services.worker import process
from services.worker.app import create_app, open_desk
from services.worker.event_loop import EventLoop
from services.worker.generations.run import Desk
from shared.errors import SettingsInvalid
from shared.jobs import QUEUES
from shared.settings import Settings
from shared.telemetry import configure_logging

USAGE: Final = f"usage: python -m services.worker QUEUE[,QUEUE...] | beat   (queues: {', '.join(QUEUES)})"
ALIVE_EVERY: Final = 5.0


def main(arguments: list[str]) -> int:
    """Run. Returns the exit code: 2 for unusable settings or arguments."""
    role = arguments[0] if len(arguments) == 1 else ""
    if role != "beat" and not set(role.split(",")) <= set(QUEUES):
        print(USAGE, file=sys.stderr)  # noqa: T201 - for a person, before logging is configured
        return 2
    try:
        settings = Settings.load(require=() if role == "beat" else ("groq_api_key",))
    except SettingsInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return 2
    configure_logging(service=f"worker:{role}", level=settings.log_level, log_format=settings.log_format)
    signals.setup_logging.connect(_keep_logging, weak=False)
    # It warns of running as root, which is dangerous with pickled messages. Only JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    app = create_app(settings)
    sys.setswitchinterval(0.0005)
    if role == "beat":
        _run_beat(app)
    else:
        _run_worker(app, settings, role)
    return 0


def _keep_logging(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
    """Being connected is enough: Celery then leaves logging as it is."""


def _run_beat(app: Celery) -> None:
    alive = _ready_file()
    signals.beat_init.connect(lambda **_: alive.begin(lambda: None), weak=False)
    try:
        # Kept in memory: intervals need no memory, and the file system may be read-only.
        app.start(["beat", "--scheduler=celery.beat:Scheduler"])
    finally:
        alive.end()


def _run_worker(app: Celery, settings: Settings, queues: str) -> None:
    """Work until told to stop: then take nothing new, let generations finish for a while, and give back the rest."""
    alive = _ready_file()
    with EventLoop() as loop:
        desk: AbstractAsyncContextManager[Desk] = open_desk(settings, app)
        held = loop.run(_enter(desk))
        process.install(process.Process(loop, held))

        def drain(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
            loop.start(held.leases.drain(settings.worker_drain_seconds))

        signals.worker_ready.connect(lambda **_: alive.begin(lambda: loop.run(asyncio.sleep(0))), weak=False)
        signals.worker_shutting_down.connect(drain, weak=False)
        try:
            app.worker_main(
                [
                    "--quiet",  # no banner among the logs
                    "worker",
                    "--pool=threads",
                    f"--concurrency={settings.worker_concurrency}",
                    f"--queues={queues}",
                    f"--hostname={queues.replace(',', '-')}-{os.getpid()}@%h",
                    "--without-gossip",
                    "--without-mingle",
                ]
            )
        finally:
            alive.end()
            loop.run(_exit(desk))


async def _enter(desk: AbstractAsyncContextManager[Desk]) -> Desk:
    return await desk.__aenter__()


async def _exit(desk: AbstractAsyncContextManager[Desk]) -> None:
    await desk.__aexit__(None, None, None)


class Alive:
    """A file that exists while the process is ready, touched every few seconds while it is alive. For health checks."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._over = threading.Event()

    def begin(self, check: Callable[[], None]) -> None:
        """Make the file, and touch it for as long as `check` returns."""
        threading.Thread(target=self._keep, args=(check,), name="alive", daemon=True).start()

    def _keep(self, check: Callable[[], None]) -> None:
        while self._path is not None and not self._over.is_set():
            check()
            self._path.touch()
            self._over.wait(ALIVE_EVERY)

    def end(self) -> None:
        """Remove the file."""
        self._over.set()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _ready_file() -> Alive:
    path = os.environ.get("READY_FILE")
    return Alive(Path(path) if path else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
