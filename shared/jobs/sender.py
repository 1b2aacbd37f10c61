"""Telling workers that there is something to do. The rows are the queue and this only a hint: a failed send is no failure."""

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
    """Sends on threads of its own, since a send to the broker blocks its caller for a millisecond, or seconds without a broker.

    `send` is given a task's name, its queue and its only argument.
    """

    def __init__(self, send: Callable[[str, str, str], None]) -> None:
        self._send = send
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="jobs")
        self._waiting = 0

    def generate(self, generation_id: GenerationId) -> None:
        """Have a queued generation taken. Returns at once and never raises: the sweep sends again what got lost."""
        self._tell(GENERATE, GENERATIONS_QUEUE, str(generation_id))

    def summarize(self, chat_id: ChatId) -> None:
        """Have a chat's older messages folded into its summary. What got lost is found by the upkeep's sweep."""
        self._tell(SUMMARIZE, SUMMARIES_QUEUE, str(chat_id))

    def title(self, generation_id: GenerationId) -> None:
        """Have a better title made. When that gets lost, the chat keeps the one it has."""
        self._tell(TITLE, SUMMARIES_QUEUE, str(generation_id))

    def _tell(self, task: str, queue: str, argument: str) -> None:
        if self._waiting >= MAX_WAITING:
            log.warning("send_skipped", task=task, waiting=self._waiting)
            return
        self._waiting += 1
        sending = asyncio.get_running_loop().run_in_executor(self._threads, self._send, task, queue, argument)
        sending.add_done_callback(self._told)

    def _told(self, sending: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not sending.cancelled() and (error := sending.exception()):
            log.warning("send_failed", error=type(error).__name__)

    def close(self) -> None:
        """Drop what was not sent yet, and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
