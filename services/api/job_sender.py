"""Jobs for the workers, sent through Celery."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery

from shared.jobs.envelope import Job
from shared.jobs.names import PUBLISH_RETRIES, broker_transport
from shared.jobs.sender import JobSender, send
from shared.streams.port import UNPREFIXED


@contextmanager
def open_job_sender(broker_url: str, prefixes: Sequence[str] = UNPREFIXED) -> Iterator[JobSender]:
    """A sender of jobs to the workers at this broker. It connects when the first job is sent.

    Under several prefixes, a job is sent under each: some workers may take jobs under one of them only. A job that comes
    twice does no harm.
    """
    apps = [_app(broker_url, prefix) for prefix in prefixes]

    def send_to_all(job: Job) -> None:
        for app in apps:
            send(app, job)

    jobs = JobSender(send_to_all)
    try:
        yield jobs
    finally:
        jobs.close()
        for app in apps:
            app.close()


def _app(broker_url: str, prefix: str) -> Celery:
    app = Celery("cortexai", broker=broker_url, set_as_current=False)
    app.conf.update(
        broker_transport_options=broker_transport(prefix),
        task_ignore_result=True,
        task_serializer="json",
        task_publish_retry_policy=dict(PUBLISH_RETRIES),
    )
    return app
