"""What a log is called in Redis."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.ids import GenerationId


class LogNames(NamedTuple):
    """A log's names, under each of the deployment's prefixes: the stream that holds it, the channel of its subscribers.

    `is_brief`: the log is written to all the time and not for long. Its head is looked at each second while it is followed;
    that of any other log at each keep-alive interval, since there may be ten thousand that nothing happens in.
    """

    keys: tuple[str, ...]
    channels: tuple[str, ...]
    is_brief: bool = True

    def in_turns(self) -> tuple[str, ...]:
        """Each key with its channel after it, as the append scripts take them."""
        return tuple(name for pair in zip(self.keys, self.channels, strict=True) for name in pair)


def log_key(generation_id: GenerationId, prefix: str = "") -> str:
    """The stream that holds a generation's log.

    The braces make a Redis Cluster keep a generation's names in one slot, under every prefix: the append script takes them
    all, and a cluster runs no script over several slots.
    """
    return f"{prefix}cortexai:{{{generation_id}}}:log"


def channel(generation_id: GenerationId, prefix: str = "") -> str:
    """The pub/sub channel that carries a generation's frames live."""
    return f"{prefix}cortexai:{{{generation_id}}}:frames"


def names_of(generation_id: GenerationId, prefixes: Sequence[str]) -> LogNames:
    """What a generation's log is called."""
    return LogNames(
        tuple(log_key(generation_id, prefix) for prefix in prefixes),
        tuple(channel(generation_id, prefix) for prefix in prefixes),
    )
