"""Beat: sends the periodic jobs. One process of it should run. Without beat, every worker still sweeps by itself."""

from celery import signals

from services.worker.celery_app import create_app
from services.worker.liveness import Liveness
from shared.settings import Settings


def run(settings: Settings, _role: str) -> int:
    """Send until SIGTERM. Returns the exit code."""
    liveness = Liveness()
    signals.beat_init.connect(lambda **_: liveness.begin(lambda: None), weak=False)
    try:
        # Not by Celery's command line, which imports 20 MB of other commands. The schedule stays in memory, since
        # intervals need no record of their last run, and the file system may be read-only.
        app = create_app(
            settings.celery_broker_url,
            sweep_interval=settings.sweep_interval_seconds,
            prefix=settings.redis_prefix,
        )
        app.Beat(scheduler_cls="celery.beat:Scheduler", quiet=True).run()
    finally:
        liveness.end()
    return 0
