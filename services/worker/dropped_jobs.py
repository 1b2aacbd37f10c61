"""What is told of items at the broker that are no jobs: a count of each fault, and lines in the log, which are examples."""

import time
from typing import Final

from services.worker.received_jobs import Fault
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

TELL_EVERY: Final = 1.0
"""Seconds between two lines: there may be thousands of items."""


class DroppedJobs:
    """Counts dropped items. Their content is told nowhere."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told_at = -TELL_EVERY

    def __json__(self) -> str:
        """What Flower is told, which asks the workers for their configuration (kombu.utils.json)."""
        return type(self).__name__

    def __call__(self, fault: Fault) -> None:
        """Count an item."""
        self._metrics.job_dropped(fault)
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            log.warning("jobs_dropped", fault=fault)
            self._told_at = now
