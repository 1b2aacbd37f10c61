"""Beat: sends the periodic jobs. Exactly one should run; without it, every worker still sweeps by itself."""

from celery import signals

from services.worker.alive import Alive
from services.worker.celery_app import create_app
from shared.settings import Settings


def run(settings: Settings, _role: str) -> None:
    """Send until SIGTERM."""
    alive = Alive()
    signals.beat_init.connect(lambda **_: alive.begin(lambda: None), weak=False)
    try:
        # The schedule is kept in memory: intervals need no memory, and the file system may be read-only.
        create_app(settings).start(["--quiet", "beat", "--scheduler=celery.beat:Scheduler"])
    finally:
        alive.end()
