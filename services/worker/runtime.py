"""What this worker process works with, for its tasks: installed by the composition root when the worker starts."""

from dataclasses import dataclass

from services.worker.event_loop import EventLoop
from services.worker.generations.desk import Desk
from services.worker.summaries.summarizer import Summarizer


@dataclass(frozen=True, slots=True)
class Process:
    """The event loop, and what runs on it."""

    loop: EventLoop
    desk: Desk
    folder: Summarizer


_installed: list[Process] = []


def install(process: Process) -> None:
    """Make it the current one."""
    _installed[:] = [process]


def current() -> Process:
    """The installed one. Tasks only run once there is one."""
    return _installed[0]
