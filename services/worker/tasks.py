"""The Celery tasks: shells around the event loop's work."""

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from services.worker import runtime
from services.worker.generations.attempt import run_generation
from services.worker.generations.recovery import sweep
from services.worker.summaries import summarizer
from services.worker.titles import make_title
from shared.errors import CortexAIError
from shared.ids import ChatId, GenerationId
from shared.jobs.envelope import read_trace
from shared.jobs.names import GENERATE, SUMMARIZE, SWEEP, TITLE
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import TraceContext, bound_trace

log = get_logger(__name__)


def _run(work: Coroutine[Any, Any, None], trace: TraceContext | None = None, **about: str) -> None:
    """Run on the process's event loop. Log lines carry the job's trace, and what it is `about`.

    Raises:
        CortexAIError: instead of an error whose words may quote what was to be stored, since Celery logs them.

    """
    with bound_contextvars(**about), bound_trace(trace):
        try:
            runtime.current().loop.run(work)
        except (SQLAlchemyError, ValidationError) as error:
            log.exception("task_failed")
            raise CortexAIError(f"{type(error).__name__}. The lease and the sweep make up for it.") from None


@shared_task(name=GENERATE, bind=True)
def generate(task: Task[..., None], generation_id: str) -> None:
    """Idempotent: a delivery that cannot claim the row returns at once."""
    held = runtime.current()
    _run(
        run_generation(held.desk, GenerationId(UUID(generation_id))),
        read_trace(task.request.headers),
        generation_id=generation_id,
    )


@shared_task(name=SWEEP)
def sweep_now() -> None:
    """Find what was left behind and queue it again. Any number of sweeps at once is harmless."""
    held = runtime.current()
    _run(sweep(held.desk))
    _run(summarizer.hint_due(held.folder))


@shared_task(name=SUMMARIZE, bind=True)
def summarize(task: Task[..., None], chat_id: str) -> None:
    """Fold a chat's older messages into its summary. A delivery for a chat that is not due returns at once."""
    held = runtime.current()
    _run(summarizer.summarize(held.folder, ChatId(int(chat_id))), read_trace(task.request.headers), chat_id=chat_id)


@shared_task(name=TITLE, bind=True)
def title(task: Task[..., None], generation_id: str) -> None:
    """Find a title. A second delivery finds the chat titled already."""
    held = runtime.current()
    _run(
        make_title(held.desk, GenerationId(UUID(generation_id))),
        read_trace(task.request.headers),
        generation_id=generation_id,
    )
