"""Kombu's Redis transport, corrected: a worker must not end when the broker dies while jobs are not acknowledged.

When the connection is lost, Celery gives up its channels, and closes them once more. Kombu 5.7 then restores their
jobs, and acknowledges them later, over the connection that is gone. That raises AttributeError, which would end the
worker.
"""

from collections import OrderedDict
from typing import Any

from kombu.transport import redis


class Unacknowledged(redis.QoS):
    """The jobs of a channel.

    When the channel is given up, nothing is restored or acknowledged: the rows are the truth anyway.
    """

    def restore_unacked(self, client: Any = None) -> Any:  # noqa: ANN401 - kombu's
        """Give the jobs back to the broker."""
        if self._is_connected():
            return super().restore_unacked(client)
        self._delivered = OrderedDict()
        return None

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge that a job is done."""
        if self._is_connected():
            super().ack(delivery_tag)

    def _is_connected(self) -> bool:
        transport: Any = self.channel.connection
        return transport is not None and transport.client is not None


class Channel(redis.Channel):
    """A channel that may end before its jobs do."""

    QoS = Unacknowledged


class Transport(redis.Transport):
    """The transport, by the name that `celery_app` registers."""

    Channel = Channel
