"""Sending jobs to the workers. The rows are the queue and a job only wakes a worker, so a failed send loses nothing."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from shared.ids import ChatId, GenerationId
from shared.jobs.names import GENERATE, GENERATIONS_QUEUE, SUMMARIES_QUEUE, SUMMARIZE, TITLE
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

SENDERS: Final = 4
MAX_WAITING: Final = 1000


class JobSender:
    """Sends jobs on threads of its own: a send blocks its thread for a millisecond, and for seconds when the broker is away.

    `send` gets a task's name, its queue and its only argument.
    """

    def __init__(self, send: Callable[[str, str, str], None]) -> None:
        self._send = send
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="jobs")
        self._waiting = 0

    def generate(self, generation_id: GenerationId) -> None:
        """Wake a worker for a queued generation. Returns at once and never raises: the sweep sends lost jobs again."""
        self._send_job(GENERATE, GENERATIONS_QUEUE, str(generation_id))

    def summarize(self, chat_id: ChatId) -> None:
        """Wake a worker to summarize a chat's older messages. The sweep sends lost jobs again."""
        self._send_job(SUMMARIZE, SUMMARIES_QUEUE, str(chat_id))

    def title(self, generation_id: GenerationId) -> None:
        """Wake a worker to find a better title. If the job gets lost, the chat keeps the title that it has."""
        self._send_job(TITLE, SUMMARIES_QUEUE, str(generation_id))

    def _send_job(self, task: str, queue: str, argument: str) -> None:
        if self._waiting >= MAX_WAITING:
            log.warning("send_skipped", task=task, waiting=self._waiting)
            return
        self._waiting += 1
        sending = asyncio.get_running_loop().run_in_executor(self._threads, self._send, task, queue, argument)
        sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not sending.cancelled() and (error := sending.exception()):
            log.warning("send_failed", error=type(error).__name__)

    def close(self) -> None:
        """Drop the jobs that are not sent yet, and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
