"""Sending jobs to the workers. The rows are the queue and a job only wakes a worker, so a failed send loses nothing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from celery import Celery

from shared.ids import ChatId, GenerationId, OperationId
from shared.jobs.envelope import Job
from shared.jobs.names import (
    COMMIT,
    GENERATE,
    GENERATIONS_QUEUE,
    MAIL,
    MAINTENANCE_QUEUE,
    SUMMARIES_QUEUE,
    SUMMARIZE,
    TITLE,
)
from shared.telemetry.logs import get_logger
from shared.telemetry.traces import current_trace

log = get_logger(__name__)

SENDERS: Final = 4
MAX_WAITING: Final = 1000


def send(celery: Celery, job: Job) -> None:
    """Send a job to the broker, now."""
    celery.send_task(job.task, args=[job.argument], queue=job.queue, headers=job.headers)


class JobSender:
    """Sends jobs on threads of its own: a send blocks its thread for a millisecond, and for seconds when the broker is away.

    A job carries the trace that is bound where it is sent. `send` sends one job.
    """

    def __init__(self, send: Callable[[Job], None]) -> None:
        self._send = send
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="jobs")
        self._waiting = 0

    def generate(self, generation_id: GenerationId) -> None:
        """Wake a worker for a queued generation. Returns at once and never raises: the sweep sends lost jobs again."""
        self._put(Job(GENERATE, GENERATIONS_QUEUE, str(generation_id), current_trace()))

    def commit(self, operation_id: OperationId) -> None:
        """Wake a worker to commit an approved operation. The sweep sends lost jobs again."""
        self._put(Job(COMMIT, GENERATIONS_QUEUE, str(operation_id), current_trace()))

    def summarize(self, chat_id: ChatId) -> None:
        """Wake a worker to summarize a chat's older messages. The sweep sends lost jobs again."""
        self._put(Job(SUMMARIZE, SUMMARIES_QUEUE, str(chat_id), current_trace()))

    def title(self, generation_id: GenerationId) -> None:
        """Wake a worker to find a better title. If the job gets lost, the chat keeps the title that it has."""
        self._put(Job(TITLE, SUMMARIES_QUEUE, str(generation_id), current_trace()))

    def mail(self, mail_id: int) -> None:
        """Wake a worker to send a mail. The sweep sends lost jobs again."""
        self._put(Job(MAIL, MAINTENANCE_QUEUE, str(mail_id), current_trace()))

    def _put(self, job: Job) -> None:
        if self._waiting >= MAX_WAITING:
            log.warning("send_skipped", waiting=self._waiting, **job.log_fields)
            return
        self._waiting += 1
        sending = asyncio.get_running_loop().run_in_executor(self._threads, self._send, job)
        sending.add_done_callback(partial(self._sent, job))

    def _sent(self, job: Job, sending: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not sending.cancelled() and (error := sending.exception()):
            log.warning("send_failed", error=type(error).__name__, **job.log_fields)

    def close(self) -> None:
        """Drop the jobs that are not sent yet, and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
