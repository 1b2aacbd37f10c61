"""Sends generations to the workers. The rows are the queue; what is sent is only a hint, so a failed send is no failure."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from celery import Celery

from shared import jobs
from shared.ids import GenerationId
from shared.telemetry import get_logger

log = get_logger(__name__)

SENDERS: Final = 4
MAX_WAITING: Final = 1000


class Queue:
    """Sends on threads of its own, since a Celery send blocks its caller for a millisecond, or seconds without a broker."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("cortexai", broker=broker_url, set_as_current=False)
        self._celery.conf.update(
            broker_transport_options=dict(jobs.BROKER_TRANSPORT),
            task_ignore_result=True,
            task_serializer="json",
            task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5},
        )
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="queue")
        self._waiting = 0

    def generate(self, generation_id: GenerationId) -> None:
        """Send a queued generation to a worker. Returns at once and never raises: the sweep sends again what got lost."""
        if self._waiting >= MAX_WAITING:
            log.warning("send_skipped", generation_id=str(generation_id), waiting=self._waiting)
            return
        self._waiting += 1
        sending = asyncio.get_running_loop().run_in_executor(self._threads, self._send, generation_id)
        sending.add_done_callback(self._sent)

    def _send(self, generation_id: GenerationId) -> None:
        self._celery.send_task(jobs.GENERATE, args=[str(generation_id)], queue=jobs.GENERATIONS_QUEUE)

    def _sent(self, sending: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not sending.cancelled() and (error := sending.exception()):
            log.warning("send_failed", error=type(error).__name__)

    def close(self) -> None:
        """End the threads and the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._celery.close()
