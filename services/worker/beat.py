"""Beat: sends the periodic jobs. Exactly one should run; without it, every worker still sweeps by itself."""

from celery import signals

from services.worker.celery_app import create_app
from services.worker.liveness import Liveness
from shared.settings import Settings


def run(settings: Settings, _role: str) -> None:
    """Send until SIGTERM."""
    alive = Liveness()
    signals.beat_init.connect(lambda **_: alive.begin(lambda: None), weak=False)
    try:
        # Not by Celery's command line, which imports 20 MB of other commands. The schedule is kept in memory: intervals need
        # no memory of their last run, and the file system may be read-only.
        create_app(settings).Beat(scheduler_cls="celery.beat:Scheduler", quiet=True).run()
    finally:
        alive.end()
