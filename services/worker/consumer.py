"""The worker's process: Celery's thread pool, whose threads only wait for the event loop's work."""

import asyncio
import gc
import os
import socket
import warnings
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from services.worker import runtime
from services.worker.app import die, open_worker
from services.worker.celery_app import create_app
from services.worker.dropped_jobs import DroppedJobs
from services.worker.event_loop import EventLoop
from services.worker.jobs_before import move_jobs
from services.worker.liveness import Liveness
from services.worker.runtime import Worker
from shared import background
from shared.database_server import all_servers
from shared.jobs.sender import JobSender, send
from shared.servers import insist
from shared.settings import Settings
from shared.telemetry.metrics import open_metrics


def run(settings: Settings, names: str) -> int:
    """Work on these queues, separated by commas, until SIGTERM. Returns the exit code: 1 when Celery gives up.

    Then take nothing new, let work finish, give the rest back.

    Raises:
        SettingsInvalid: a setting is missing or unusable, or a server can't be used.

    """
    # Celery warns of running as root, which is dangerous with pickled messages. Only JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    metrics = open_metrics(settings.metrics_host, settings.metrics_port, settings.known_models)
    liveness = Liveness()
    queues = names.split(",")
    prefix, *before = settings.redis_prefixes
    celery = create_app(
        settings.celery_broker_url,
        sweep_interval=settings.sweep_interval_seconds,
        prefix=prefix,
        on_dropped=DroppedJobs(metrics),
    )
    celery.conf.include = ["services.worker.tasks"]
    jobs = JobSender(partial(send, celery))
    with EventLoop() as loop:
        opening: AbstractAsyncContextManager[Worker] = open_worker(settings, jobs, metrics)
        worker = loop.run(_enter(opening))
        runtime.install(runtime.Process(loop, worker))
        moving = [
            loop.run(_begin(move_jobs(settings.celery_broker_url, queues, before=other, prefix=prefix)))
            for other in before
        ]

        def drain(**_: Any) -> None:  # noqa: ANN401 - Celery's signals
            loop.start(background.end(*moving))
            loop.start(worker.drain(settings.worker_drain_seconds))

        signals.worker_ready.connect(lambda **_: liveness.begin(lambda: loop.run(asyncio.sleep(0))), weak=False)
        signals.worker_shutting_down.connect(drain, weak=False)
        try:
            # Not by Celery's command line, which imports 20 MB of other commands.
            consumer = celery.Worker(
                pool_cls="threads",
                concurrency=settings.worker_concurrency,
                queues=queues,
                hostname=f"{'-'.join(queues)}-{os.getpid()}@{socket.gethostname()}",
                without_gossip=True,
                without_mingle=True,
                quiet=True,
            )
            # What is there lasts as long as the process. To look for garbage in it would stop all answers for a moment.
            gc.collect()
            gc.freeze()
            consumer.start()
        finally:
            liveness.end()
            loop.run(background.end(*moving))
            loop.run(_exit(opening))
            jobs.close()
    if consumer.exitcode:
        insist(all_servers(settings))  # Celery gave up: if a server is the reason, that is what there is to say.
    return 1 if consumer.exitcode else 0


async def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return background.start(work, die)


async def _enter(opening: AbstractAsyncContextManager[Worker]) -> Worker:
    return await opening.__aenter__()


async def _exit(opening: AbstractAsyncContextManager[Worker]) -> None:
    await opening.__aexit__(None, None, None)
