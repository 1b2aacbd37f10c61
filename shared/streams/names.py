"""What a log is called in Redis."""

from typing import NamedTuple


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
