"""The way to the workers: hints, sent through Celery."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from shared.jobs.names import BROKER_TRANSPORT, PUBLISH_RETRIES
from shared.jobs.sender import Hints


@contextmanager
def open_queue(broker_url: str) -> Iterator[Hints]:
    """Hints to the workers on this broker. Connects when the first one is sent."""
    celery = Celery("cortexai", broker=broker_url, set_as_current=False)
    celery.conf.update(
        broker_transport_options=dict(BROKER_TRANSPORT),
        task_ignore_result=True,
        task_serializer="json",
        task_publish_retry_policy=dict(PUBLISH_RETRIES),
    )

    def send(task: str, queue: str, argument: str) -> None:
        celery.send_task(task, args=[argument], queue=queue)

    hints = Hints(send)
    try:
        yield hints
    finally:
        hints.close()
        celery.close()
