"""Kombu's Redis transport, corrected: neither the broker's death nor what somebody put there ends a worker.

When the connection is lost, Celery gives up its channels, and closes them once more. Kombu 5.7 then restores their
jobs, and acknowledges them later, over the connection that is gone. That raises AttributeError, which would end the
worker.

Kombu takes each item for a message. Here an item is read first (`received_jobs`); what is no job is dropped and counted.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from kombu.transport import redis
from redis.exceptions import NoPermissionError

from services.worker.received_jobs import ON_DROPPED, Fault, NotAJob, is_command, is_unacknowledged_job, read_job


def _ignore(_fault: Fault) -> None:
    """Do nothing."""


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

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: ANN401 - kombu's
        """Give a job back, its own or one of a worker that is gone. What is no job is dropped."""
        channel: Any = self.channel  # kombu's types know little of its Redis transport
        with channel.conn_or_acquire(client) as connected:
            waiting = connected.hget(self.unacked_key, tag)
            if waiting is not None and not is_unacknowledged_job(waiting):
                self._remove_from_indices(tag).execute()  # type: ignore[attr-defined]
                channel.on_dropped("wrong_shape")
                return
            super().restore_by_tag(tag, connected, leftmost)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge that a job is done."""
        if self._is_connected():
            super().ack(delivery_tag)

    def _is_connected(self) -> bool:
        transport: Any = self.channel.connection
        return transport is not None and transport.client is not None


class TakesNoJobs(Exception):
    """The broker lets this user take no jobs. Trying again helps nobody, so this ends the worker, which then says why."""


class Channel(redis.Channel):
    """A channel that may end before its jobs do, and on which only jobs come."""

    QoS = Unacknowledged
    from_transport_options = (*redis.Channel.from_transport_options, ON_DROPPED)
    on_dropped: Callable[[Fault], None] = staticmethod(_ignore)

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: ANN401 - kombu's
        client = super()._create_client(asynchronous)  # type: ignore[misc]
        client.set_response_callback("BRPOP", self._read)
        return client

    def _read(self, answer: Sequence[bytes] | None, **_: object) -> tuple[bytes, bytes] | None:
        """A queue's name and the job that was taken from it; None for what is no job, as where nothing has come."""
        if not answer:
            return None
        name, item = answer
        queue = name.decode().removeprefix(self.global_keyprefix).rsplit(self.sep, 1)[0]
        try:
            return name, read_job(item, queue)
        except NotAJob as dropped:
            self.on_dropped(dropped.fault)
            return None

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except NoPermissionError as refusal:
            raise TakesNoJobs(str(refusal)) from None

    def _handle_message(self, client: Any, r: Any) -> Any:  # noqa: ANN401 - kombu's
        payload = super()._handle_message(client, r)  # type: ignore[misc]
        data = payload["data"]
        if isinstance(data, bytes) and not is_command(data):
            self.on_dropped("not_a_command")
            payload["data"] = None  # kombu has nothing to do with it
        return payload


class Transport(redis.Transport):
    """The transport, by the name that `celery_app` registers."""

    Channel = Channel
