"""Jobs for the workers, sent through Celery."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from celery import Celery

from shared.jobs.names import BROKER_TRANSPORT, PUBLISH_RETRIES
from shared.jobs.sender import JobSender, send


@contextmanager
def open_job_sender(broker_url: str) -> Iterator[JobSender]:
    """A sender of jobs to the workers at this broker. It connects when the first job is sent."""
    celery = Celery("cortexai", broker=broker_url, set_as_current=False)
    celery.conf.update(
        broker_transport_options=dict(BROKER_TRANSPORT),
        task_ignore_result=True,
        task_serializer="json",
        task_publish_retry_policy=dict(PUBLISH_RETRIES),
    )

    jobs = JobSender(partial(send, celery))
    try:
        yield jobs
    finally:
        jobs.close()
        celery.close()
