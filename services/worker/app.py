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
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.groq.client import CONNECT_TIMEOUT, GroqModel
from services.worker.models.retry import RetryingModel
from services.worker.summaries.summarizer import Summarizer, hint_due, summarize_now
from services.worker.tools.registry import ToolSettings, make_tools
from services.worker.tools.toolset import Toolset
from shared import background
from shared.database.engine import open_database
from shared.errors import CortexAIError, SettingsInvalid
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
        models = model_catalog(settings)
        groq = groq_model(settings, models)
        stack.push_async_callback(groq.aclose)
        model = RetryingModel(groq, fallback=models.fallback)
        tools = _tools(settings)
        stack.push_async_callback(tools.aclose)
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
            models=models,
            tools=tools,
            jobs=jobs,
            transient_frames=TransientFrames(redis),
            fold=partial(summarize_now, Summarizer(settings, database, model, models, jobs, metrics)),
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
    return Summarizer(desk.settings, desk.database, desk.model, desk.models, desk.jobs, desk.metrics)


def model_catalog(settings: Settings) -> ModelCatalog:
    """The models that are offered, with what the settings say of them."""
    return ModelCatalog(
        default=settings.groq_model,
        others=settings.groq_models,
        fallback=settings.groq_fallback_model,
        tools=settings.model_tools,
        prefill=settings.model_prefill,
        context_tokens=settings.model_context_tokens,
        contexts=dict(settings.model_contexts),
        max_output_tokens=settings.model_max_tokens,
    )


def groq_model(settings: Settings, models: ModelCatalog, *, connect_timeout: float = CONNECT_TIMEOUT) -> GroqModel:
    """The model client. `connect_timeout` is in seconds.

    Raises:
        SettingsInvalid: there is no key.

    """
    if settings.groq_api_key is None:
        raise SettingsInvalid("GROQ_API_KEY: is not set")
    return GroqModel(
        models,
        key=settings.groq_api_key,
        base_url=settings.groq_base_url,
        temperature=settings.model_temperature,
        read_timeout=settings.model_read_timeout_seconds,
        connect_timeout=connect_timeout,
    )


def _tools(settings: Settings) -> Toolset:
    key = settings.tavily_api_key
    given = ToolSettings(
        search_key=key.get_secret_value() if key else None,
        search_url=settings.tavily_base_url,
        search_timeout=settings.search_timeout_seconds,
        search_max_results=settings.search_max_results,
    )
    return make_tools(settings.tools, given)


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
