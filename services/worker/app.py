"""The worker's composition root: settings become what its tasks work with."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from celery import Celery
from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.attempt import MAX_STARTS
from services.worker.generations.checkpoints import Checkpoints
from services.worker.generations.desk import Desk
from services.worker.generations.leases import Leases
from services.worker.generations.log_writer import Flusher
from services.worker.generations.recovery import sweep
from services.worker.models.groq.client import Model
from services.worker.summaries.summarizer import Summarizer, hint_due, summarize_now
from services.worker.tools.web_search.tavily import Search
from shared import background
from shared.database.engine import open_database
from shared.errors import CortexAIError
from shared.generations import recover
from shared.jobs.sender import JobSender, send
from shared.settings import Settings
from shared.streams.cancel_signals import CancelSignals
from shared.streams.redis import RedisLog, RedisWriter, TransientFrames, connect
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics, NullMetrics

log = get_logger(__name__)


@asynccontextmanager
async def open_desk(settings: Settings, celery: Celery, metrics: Metrics | None = None) -> AsyncIterator[Desk]:
    """What generations are made with, background tasks running. Without `metrics`, nothing is measured."""
    metrics = metrics or NullMetrics()
    async with AsyncExitStack() as stack:
        model = Model(settings)
        stack.push_async_callback(model.aclose)
        search = _open_search(settings)
        if search is not None:
            stack.push_async_callback(search.aclose)
        database = open_database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.dispose)
        # A connection of their own: however many replies are being saved, no lease waits for them.
        heartbeats = open_database(settings.database_url, pool_size=1)
        stack.push_async_callback(heartbeats.dispose)
        jobs = JobSender(partial(send, celery))
        stack.callback(jobs.close)
        redis = connect(settings.stream_redis_url)
        stack.push_async_callback(redis.aclose)
        writer = RedisWriter(redis, ttl=settings.stream_ttl_seconds)
        desk = Desk(
            settings=settings,
            database=database,
            writer=writer,
            stream_log=RedisLog(redis),
            flusher=Flusher(writer, interval=settings.flush_interval_seconds),
            leases=Leases(heartbeats, lease=settings.lease_seconds),
            checkpoints=Checkpoints(database, interval=settings.checkpoint_interval_seconds),
            model=model,
            search=search,
            jobs=jobs,
            transient_frames=TransientFrames(redis),
            fold=partial(summarize_now, Summarizer(settings, database, model, jobs, metrics)),
            starts=asyncio.Semaphore(MAX_STARTS),
            metrics=metrics,
        )
        for work in (
            desk.flusher.run(),
            desk.leases.beat(),
            desk.checkpoints.save_for_ever(),
            _obey(CancelSignals(redis), desk.leases),
            _sweep_for_ever(desk),
        ):
            stack.push_async_callback(background.end, asyncio.create_task(_guarded(work)))
        yield desk


def summarizer_of(desk: Desk) -> Summarizer:
    """What summaries are made with, on the same connections."""
    return Summarizer(desk.settings, desk.database, desk.model, desk.jobs, desk.metrics)


def _open_search(settings: Settings) -> Search | None:
    if settings.tavily_api_key is None:
        return None
    return Search(
        settings.tavily_api_key.get_secret_value(),
        settings.tavily_base_url,
        timeout=settings.search_timeout_seconds,
        max_results=settings.search_max_results,
    )


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """Run a background task; should it ever fail, that must not go unnoticed."""
    try:
        await work
    except Exception:
        log.exception("background_task_died")
        # Generations would hang without it, and so would a polite end. At once, so that others take over when leases expire.
        os._exit(1)


async def _obey(cancel_signals: CancelSignals, leases: Leases) -> None:
    """Stop what was ended from outside."""
    async for generation_id in cancel_signals.listen():
        leases.end(generation_id)


async def _sweep_for_ever(desk: Desk) -> None:
    """Besides beat's: recovery must not depend on one process being alive."""
    while True:
        # Spread, so that the workers of a deployment do not all sweep at the same moment.
        await asyncio.sleep(desk.settings.sweep_interval_seconds * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            await sweep(desk)
            await hint_due(summarizer_of(desk))
            await desk.metrics.queue_age(partial(recover.oldest_queued, desk.database))
        except (SQLAlchemyError, CortexAIError, OSError) as error:
            log.warning("sweep_failed", error=type(error).__name__)
