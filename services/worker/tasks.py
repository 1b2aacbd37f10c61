"""The Celery tasks: each runs one piece of work on the event loop and waits for its end."""

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from celery import shared_task
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from services.worker import runtime
from shared.errors import CortexAIError
from shared.ids import ChatId, GenerationId
from shared.jobs.names import GENERATE, SUMMARIZE, SWEEP, TITLE
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run on the process's event loop.

    Raises:
        CortexAIError: in place of errors whose messages may quote what was to be stored, since Celery logs messages.

    """
    try:
        runtime.current().loop.run(work)
    except (SQLAlchemyError, ValidationError) as error:
        log.exception("task_failed")
        raise CortexAIError(f"{type(error).__name__}. The lease and the sweep make up for it.") from None


@shared_task(name=GENERATE)
def generate(generation_id: str) -> None:
    """Make a reply. A delivery that can't claim the generation returns at once."""
    _run(runtime.current().worker.attempts.run(GenerationId(UUID(generation_id))))


@shared_task(name=SWEEP)
def sweep_now() -> None:
    """Find what was left behind and queue it again."""
    _run(runtime.current().worker.sweep())


@shared_task(name=SUMMARIZE)
def summarize(chat_id: str) -> None:
    """Summarize a chat's older messages. A delivery for a chat that is not due returns at once."""
    _run(runtime.current().worker.summarizer.summarize(ChatId(int(chat_id))))


@shared_task(name=TITLE)
def title(generation_id: str) -> None:
    """Make a title. A second delivery finds that the chat has a title already."""
    _run(runtime.current().worker.titles.make(GenerationId(UUID(generation_id))))
