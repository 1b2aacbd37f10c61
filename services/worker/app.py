"""The worker's composition root: the only place of the worker where settings become the objects that do the work."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from services.worker.expired_sessions import ExpiredSessions
from services.worker.generations.answer_loop import AnswerLoop
from services.worker.generations.attempt import MAX_STARTS, Attempts
from services.worker.generations.cancellation import obey_cancel_signals
from services.worker.generations.checkpoints import Checkpoints
from services.worker.generations.leases import Leases
from services.worker.generations.log_writer import Flusher
from services.worker.generations.recovery import Recovery
from services.worker.hidden_chats import HiddenChats
from services.worker.leftover_logs import LeftoverLogs
from services.worker.leftover_sandboxes import LeftoverSandboxes
from services.worker.look_up.backfill import Backfill
from services.worker.look_up.port import HistoryIndex
from services.worker.look_up.postgres import PostgresIndex
from services.worker.mail.null import NullMailer
from services.worker.mail.outbox import AT_ONCE, Outbox
from services.worker.mail.smtp import SmtpMailer
from services.worker.models.capabilities import ModelCatalog
from services.worker.models.groq.client import CONNECT_TIMEOUT, GroqModel
from services.worker.models.port import ChatModel
from services.worker.models.retry import RETRY_DELAYS, RetryingModel
from services.worker.operations.approvals import OperationApprovals
from services.worker.operations.commit import COMMIT_WITHIN, STATEMENTS, Commits
from services.worker.operations.sweep import OperationSweep
from services.worker.runtime import Worker
from services.worker.summaries.summarizer import Summarizer
from services.worker.temporary_chats import TemporaryChats
from services.worker.titles import Titles
from services.worker.tools.registry import Databases, ToolSettings, make_tools
from services.worker.tools.toolset import Toolset
from services.worker.tools.web_search.tavily import PROXY_SCHEMES, TAVILY_URL
from services.worker.trash import Trash
from shared import background
from shared.data_sources.access import SourceAccess, open_access
from shared.database.engine import Database, open_database
from shared.deployment import announce
from shared.errors import CortexAIError, SettingsInvalid
from shared.generations import recover
from shared.jobs.sender import JobSender
from shared.operations.proposals import Bounds
from shared.operations.source_changes import open_changes
from shared.proxies import find_way
from shared.settings import Settings
from shared.streams.cancel_signals import CancelSignals
from shared.streams.feed.publisher import FeedPublisher, open_feed_publisher
from shared.streams.feed.redis import RedisFeedWriter
from shared.streams.redis import RedisLog, RedisWriter, TransientFrames, connect
from shared.streams.removal import Removal
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics, NullMetrics
from shared.urls import GROQ_URL

log = get_logger(__name__)


@asynccontextmanager
async def open_worker(
    settings: Settings,
    jobs: JobSender,
    metrics: Metrics | None = None,
    *,
    retry_delays: Sequence[float] = RETRY_DELAYS,
) -> AsyncIterator[Worker]:
    """The worker, with its connections open and its background tasks running. `jobs` wakes other workers.

    Without `metrics`, nothing is measured. `retry_delays` are the seconds before the second and the third try of a model.

    Raises:
        SettingsInvalid: a setting is missing or unusable.

    """
    metrics = metrics or NullMetrics()
    _warn_of_unused_proxies(settings)
    async with AsyncExitStack() as stack:
        models = model_catalog(settings)
        groq = groq_model(settings, models)
        stack.push_async_callback(groq.aclose)
        model = RetryingModel(
            groq,
            fallback=models.fallback,
            fallback_continues=lambda: models.fallback_continues,
            metrics=metrics,
            delays=retry_delays,
        )
        database = open_database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.dispose)
        index = PostgresIndex(database)
        # A connection of their own: however many replies are being saved, no lease waits for a connection.
        heartbeats = open_database(settings.database_url, pool_size=1)
        stack.push_async_callback(heartbeats.dispose)
        redis = connect(settings.stream_redis_url)
        stack.push_async_callback(redis.aclose)
        prefixes = settings.redis_prefixes
        writer = RedisWriter(redis, ttl=settings.stream_ttl_seconds, prefixes=prefixes)
        stream_log = RedisLog(redis, prefixes)
        feeds = RedisFeedWriter(redis, kept=settings.feed_max_events, ttl=settings.feed_ttl_seconds, prefixes=prefixes)
        feed = await stack.enter_async_context(open_feed_publisher(feeds, metrics))
        proposals = Bounds(settings.operations_max_pending, timedelta(seconds=settings.operation_expire_seconds))
        access = open_access(settings)
        changes = open_changes(access, settings.operation_max_rows)
        approvals = OperationApprovals(database, jobs, feed, proposals, changes)
        tools = _tools(settings, index, database, feed, approvals, access)
        stack.push_async_callback(tools.aclose)

        summarizer = _summarizer(settings, database, model, models, index, jobs, feed, metrics)
        attempts = Attempts(
            database=database,
            leases=Leases(heartbeats, lease=settings.lease_seconds),
            flusher=Flusher(writer, stream_log, interval=settings.flush_interval_seconds),
            checkpoints=Checkpoints(database, interval=settings.checkpoint_interval_seconds),
            answer_loop=AnswerLoop(
                database=database,
                model=model,
                models=models,
                tools=tools,
                index=index,
                approvals=approvals,
                summarize_now=summarizer.summarize_now,
                max_facts=settings.facts_max,
                max_tool_steps=settings.search_max_steps,
                max_database_steps=settings.database_max_steps,
                max_reply_chars=settings.reply_max_chars,
                metrics=metrics,
            ),
            jobs=jobs,
            ask_for_summary=summarizer.ask_if_due,
            timeout=settings.generation_timeout_seconds,
            daily_tokens=settings.user_daily_tokens,
            titles_by_model=settings.title_by_model,
            starts=asyncio.Semaphore(MAX_STARTS),
            feed=feed,
            metrics=metrics,
        )
        worker = Worker(
            attempts=attempts,
            recovery=Recovery(database, writer, stream_log, feed, jobs, models.default, metrics),
            summarizer=summarizer,
            backfill=Backfill(database, index),
            titles=Titles(
                database,
                model,
                models.default,
                models.max_output_tokens,
                TransientFrames(redis, prefixes),
                feed,
                metrics,
            ),
            temporary_chats=TemporaryChats(database, feed, timedelta(hours=settings.temporary_chat_hours)),
            hidden_chats=HiddenChats(database, timedelta(seconds=settings.stream_ttl_seconds)),
            trash=Trash(database, timedelta(days=settings.chat_trash_days)),
            expired_sessions=ExpiredSessions(database),
            commits=Commits(
                database,
                changes,
                jobs,
                feed,
                timedelta(seconds=settings.lease_seconds),
                within=max(COMMIT_WITHIN, STATEMENTS * settings.data_source_statement_seconds),
            ),
            operation_sweep=OperationSweep(database, jobs, feed),
            leftover_sandboxes=LeftoverSandboxes(database, settings.sandbox_database_url),
            leftover_logs=LeftoverLogs(database, Removal(redis, prefixes, log_seconds=settings.stream_ttl_seconds)),
            outbox=_outbox(settings, database, jobs),
        )
        for work in (
            attempts.flusher.run(),
            attempts.leases.beat(),
            attempts.checkpoints.save_for_ever(),
            obey_cancel_signals(CancelSignals(redis, prefixes), attempts.leases),
            _sweep_for_ever(worker, settings.sweep_interval_seconds, metrics, database),
            announce(database, settings),
        ):
            stack.push_async_callback(background.end, background.start(work, die))
        yield worker


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
        reasoning_effort=settings.model_reasoning_effort,
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


def _tools(
    settings: Settings,
    index: HistoryIndex,
    database: Database,
    feed: FeedPublisher,
    approvals: OperationApprovals,
    access: SourceAccess | None,
) -> Toolset:
    key = settings.tavily_api_key
    given = ToolSettings(
        index=index,
        database=database,
        feed=feed,
        propose=approvals.propose,
        databases=Databases(access, approvals.propose_write) if access else None,
        search_key=key.get_secret_value() if key else None,
        search_url=settings.tavily_base_url,
        search_timeout=settings.search_timeout_seconds,
        search_max_results=settings.search_max_results,
    )
    return make_tools(settings.tools, given)


def _summarizer(
    settings: Settings,
    database: Database,
    model: ChatModel,
    models: ModelCatalog,
    index: HistoryIndex,
    jobs: JobSender,
    feed: FeedPublisher,
    metrics: Metrics,
) -> Summarizer:
    return Summarizer(
        database=database,
        model=model,
        models=models,
        index=index,
        jobs=jobs,
        feed=feed,
        window=settings.history_window,
        chunk_messages=settings.summary_chunk_messages,
        timeout=settings.summary_timeout_seconds,
        max_chars=settings.summary_max_chars,
        daily_tokens=settings.user_daily_tokens,
        metrics=metrics,
    )


def _outbox(settings: Settings, database: Database, jobs: JobSender) -> Outbox:
    """What sends mails.

    Raises:
        SettingsInvalid: mail is on, and there is no mail server.

    """
    server, sender = settings.smtp_server, settings.mail_from
    is_on = server is not None and sender is not None
    return Outbox(
        database=database,
        mailer=SmtpMailer(server, sender=sender, timeout=settings.smtp_timeout_seconds)
        if server and sender
        else NullMailer(),
        jobs=jobs,
        public_url=settings.public_url if is_on else None,
        lifetimes={
            "verify_email": timedelta(hours=settings.verify_link_hours),
            "reset_password": timedelta(minutes=settings.reset_link_minutes),
            "invite": timedelta(days=settings.invite_days),
        },
        lease=timedelta(seconds=settings.smtp_timeout_seconds + settings.lease_seconds),
        max_sending=min(AT_ONCE, max(1, settings.worker_concurrency // 2)),
    )


def _warn_of_unused_proxies(settings: Settings) -> None:
    """Warn of variables that name a proxy which can't be used, and so isn't: their values may hold a password."""
    ways = {"model": find_way(settings.groq_base_url or GROQ_URL)}
    if settings.tavily_api_key is not None:
        ways["search"] = find_way(settings.tavily_base_url or TAVILY_URL, PROXY_SCHEMES)
    for what, way in ways.items():
        for variable in way.passed_over:
            log.warning("proxy_not_used", variable=variable, to=what, used="another" if way.proxy else "none")


def die(error: BaseException) -> None:
    """End the process, since a background task failed without which the worker can't work.

    Generations would wait for the task for ever, and so would an orderly end of the process. The process ends at once, so
    that other workers go on when its leases expire.
    """
    log.error("background_task_died", exc_info=error)
    os._exit(1)


async def _sweep_for_ever(worker: Worker, interval: float, metrics: Metrics, database: Database) -> None:
    """Sweep, and measure the queue, about every `interval` seconds.

    Beat has sweeps done too, but recovery must not depend on one process.
    """
    while True:
        # Spread, so that the workers of a deployment do not all sweep at the same moment.
        await asyncio.sleep(interval * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            # Measured first: without Redis the sweep fails, and that is when the queue grows.
            await metrics.queue_age(partial(recover.oldest_queued, database))
            await worker.sweep()
        except (SQLAlchemyError, CortexAIError, OSError) as error:
            log.warning("sweep_failed", error=type(error).__name__)
