"""The Celery application: it wakes workers for the rows in PostgreSQL, which decide."""

from collections.abc import Callable
from typing import Final

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from services.worker.received_jobs import ON_DROPPED, Fault
from shared.jobs.names import MAINTENANCE_QUEUE, PUBLISH_RETRIES, SWEEP, broker_transport

TRANSPORT: Final = "services.worker.broker:Transport"


def create_app(
    broker_url: str, *, sweep_interval: float, prefix: str = "", on_dropped: Callable[[Fault], None] | None = None
) -> Celery:
    """The application, for workers and for beat; `sweep_interval` is in seconds. Imports no task and no model.

    `prefix` stands in front of all that it keeps at the broker. `on_dropped` is told of each item that is no job.
    """
    # By the URL's scheme. When a transport is given by name, kombu forgets that rediss:// means TLS.
    TRANSPORT_ALIASES.update(redis=TRANSPORT, rediss=TRANSPORT)
    app = Celery("cortexai", broker=broker_url)
    app.conf.update(
        accept_content=["json"],
        broker_channel_error_retry=True,  # what the broker refuses ends no worker either
        beat_schedule={
            "sweep": {
                "task": SWEEP,
                "schedule": sweep_interval,
                "options": {"queue": MAINTENANCE_QUEUE, "expires": 2 * sweep_interval},
            }
        },
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options={**broker_transport(prefix), **({ON_DROPPED: on_dropped} if on_dropped else {})},
        task_acks_late=True,
        task_ignore_result=True,
        task_publish_retry_policy=dict(PUBLISH_RETRIES),
        task_reject_on_worker_lost=False,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,  # for Flower
    )
    return app
