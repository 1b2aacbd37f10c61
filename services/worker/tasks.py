"""The Celery tasks: each runs one piece of work on the event loop and waits for its end."""

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from services.worker import runtime
from shared.errors import CortexAIError
from shared.ids import ChatId, GenerationId, OperationId
from shared.jobs.envelope import read_trace
from shared.jobs.names import COMMIT, GENERATE, MAIL, SUMMARIZE, SWEEP, TITLE
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import TraceContext, bound_trace

log = get_logger(__name__)


def _run(work: Coroutine[Any, Any, None], trace: TraceContext | None = None, **about: str) -> None:
    """Run on the process's event loop. Log lines carry the job's trace, and what it is `about`.

    Raises:
        CortexAIError: in place of errors whose messages may quote what was to be stored, since Celery logs messages.

    """
    with bound_contextvars(**about), bound_trace(trace):
        try:
            runtime.current().loop.run(work)
        except (SQLAlchemyError, ValidationError) as error:
            log.exception("task_failed")
            raise CortexAIError(f"{type(error).__name__}. The lease and the sweep make up for it.") from None


@shared_task(name=GENERATE, bind=True)
def generate(task: Task[..., None], generation_id: str) -> None:
    """Make a reply. A delivery that can't claim the generation returns at once."""
    work = runtime.current().worker.attempts.run(GenerationId(UUID(generation_id)))
    _run(work, read_trace(task.request.headers), generation_id=generation_id)


@shared_task(name=SWEEP)
def sweep_now() -> None:
    """Find what was left behind and queue it again. Then index messages that an earlier release summarized.

    Not in each worker's own sweep: beat sends one job at a time, to workers that make no answers.
    """
    worker = runtime.current().worker
    try:
        _run(worker.sweep())
    finally:  # the backfill needs no Redis, without which a sweep may fail
        _run(worker.backfill.run())


@shared_task(name=SUMMARIZE, bind=True)
def summarize(task: Task[..., None], chat_id: str) -> None:
    """Summarize a chat's older messages. A delivery for a chat that is not due returns at once."""
    work = runtime.current().worker.summarizer.summarize(ChatId(int(chat_id)))
    _run(work, read_trace(task.request.headers), chat_id=chat_id)


@shared_task(name=TITLE, bind=True)
def title(task: Task[..., None], generation_id: str) -> None:
    """Make a title. A second delivery finds that the chat has a title already."""
    work = runtime.current().worker.titles.make(GenerationId(UUID(generation_id)))
    _run(work, read_trace(task.request.headers), generation_id=generation_id)


@shared_task(name=COMMIT, bind=True)
def commit(task: Task[..., None], operation_id: str) -> None:
    """Commit an approved operation. A delivery that can't claim the operation returns at once."""
    work = runtime.current().worker.commits.commit(OperationId(UUID(operation_id)))
    _run(work, read_trace(task.request.headers), operation_id=operation_id)


@shared_task(name=MAIL, bind=True)
def mail(task: Task[..., None], mail_id: str) -> None:
    """Send a mail that waits. A delivery that can't claim the mail returns at once."""
    work = runtime.current().worker.outbox.send(int(mail_id))
    _run(work, read_trace(task.request.headers), mail_id=mail_id)
