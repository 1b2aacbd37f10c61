"""Kombu's Redis transport, but for what makes a worker end when the broker dies while jobs are not acknowledged.

Celery gives such a connection's channels up and then closes them again; kombu 5.7 would then restore their jobs, and
acknowledge them when they are done, by a connection that is not there. That raises AttributeError, which ends the worker.
"""

from collections import OrderedDict
from typing import Any

from kombu.transport import redis


class Unacknowledged(redis.QoS):
    """The jobs of a channel; there is no one to tell of them when the channel is given up. The rows are the truth anyway."""

    def restore_unacked(self, client: Any = None) -> Any:  # noqa: ANN401 - kombu's
        """Give the jobs back."""
        if self._is_connected():
            return super().restore_unacked(client)
        self._delivered = OrderedDict()
        return None

    def ack(self, delivery_tag: str) -> None:
        """Tell that a job is done."""
        if self._is_connected():
            super().ack(delivery_tag)

    def _is_connected(self) -> bool:
        transport: Any = self.channel.connection
        return transport is not None and transport.client is not None


class Channel(redis.Channel):
    """A channel whose jobs can outlive it."""

    QoS = Unacknowledged


class Transport(redis.Transport):
    """The transport."""

    Channel = Channel
