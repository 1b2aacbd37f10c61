"""The worker proper: Celery's thread pool, whose threads only wait for the event loop's work."""

import asyncio
import os
import socket
import warnings
from contextlib import AbstractAsyncContextManager
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from services.worker import runtime
from services.worker.app import open_desk, summarizer_of
from services.worker.celery_app import create_app
from services.worker.event_loop import EventLoop
from services.worker.generations.desk import Desk
from services.worker.liveness import Liveness
from services.worker.summaries import summarizer
from shared.settings import Settings
from shared.telemetry.metrics import open_metrics


def run(settings: Settings, queues: str) -> None:
    """Work until told to stop: then take nothing new, let generations finish for a while, and give back the rest."""
    # It warns of running as root, which is dangerous with pickled messages. Only JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    metrics = open_metrics(settings.metrics_host, settings.metrics_port, settings.known_models)
    alive = Liveness()
    celery = create_app(settings)
    celery.conf.include = ["services.worker.tasks"]
    with EventLoop() as loop:
        desk: AbstractAsyncContextManager[Desk] = open_desk(settings, celery, metrics)
        held = loop.run(_enter(desk))
        folder = summarizer_of(held)
        runtime.install(runtime.Process(loop, held, folder))

        def drain(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
            loop.start(held.leases.drain(settings.worker_drain_seconds))
            loop.start(summarizer.drain(folder, settings.worker_drain_seconds))

        signals.worker_ready.connect(lambda **_: alive.begin(lambda: loop.run(asyncio.sleep(0))), weak=False)
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
            alive.end()
            loop.run(_exit(desk))


async def _enter(desk: AbstractAsyncContextManager[Desk]) -> Desk:
    return await desk.__aenter__()


async def _exit(desk: AbstractAsyncContextManager[Desk]) -> None:
    await desk.__aexit__(None, None, None)
