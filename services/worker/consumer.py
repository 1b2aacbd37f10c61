"""The worker's process: Celery's thread pool, whose threads only wait for the event loop's work."""

import asyncio
import os
import socket
import warnings
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from services.worker import runtime
from services.worker.app import open_worker
from services.worker.celery_app import create_app
from services.worker.event_loop import EventLoop
from services.worker.liveness import Liveness
from services.worker.runtime import Worker
from shared.jobs.sender import JobSender, send
from shared.settings import Settings
from shared.telemetry.metrics import open_metrics


def run(settings: Settings, queues: str) -> None:
    """Work on these queues, separated by commas, until SIGTERM.

    Then take nothing new, let work finish, give the rest back.

    Raises:
        SettingsInvalid: a setting is missing or unusable.

    """
    # Celery warns of running as root, which is dangerous with pickled messages. Only JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    metrics = open_metrics(settings.metrics_host, settings.metrics_port, settings.known_models)
    liveness = Liveness()
    celery = create_app(settings.celery_broker_url, sweep_interval=settings.sweep_interval_seconds)
    celery.conf.include = ["services.worker.tasks"]
    jobs = JobSender(partial(send, celery))
    with EventLoop() as loop:
        opening: AbstractAsyncContextManager[Worker] = open_worker(settings, jobs, metrics)
        worker = loop.run(_enter(opening))
        runtime.install(runtime.Process(loop, worker))

        def drain(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
            loop.start(worker.drain(settings.worker_drain_seconds))

        signals.worker_ready.connect(lambda **_: liveness.begin(lambda: loop.run(asyncio.sleep(0))), weak=False)
        signals.worker_shutting_down.connect(drain, weak=False)
        try:
            # Not by Celery's command line, which imports 20 MB of other commands.
            celery.Worker(
                pool_cls="threads",
                concurrency=settings.worker_concurrency,
                queues=queues.split(","),
                hostname=f"{queues.replace(',', '-')}-{os.getpid()}@{socket.gethostname()}",
                without_gossip=True,
                without_mingle=True,
                quiet=True,
            ).start()
        finally:
            liveness.end()
            loop.run(_exit(opening))
            jobs.close()


async def _enter(opening: AbstractAsyncContextManager[Worker]) -> Worker:
    return await opening.__aenter__()


async def _exit(opening: AbstractAsyncContextManager[Worker]) -> None:
    await opening.__aexit__(None, None, None)
