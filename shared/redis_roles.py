"""What each part of the system may do in Redis: a user each, with the commands, keys and channels that the part needs.

Source: https://valkey.io/topics/acl/. A command is allowed where the user's own rules allow all of it, or one selector (in
parentheses) does. Scripts may be loaded by everybody: what they do is checked as if their user did it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from shared.jobs.names import QUEUES

RedisPart = Literal["api", "worker", "flower"]
"""Workers and beat have one user: beat sends jobs, and little else. Flower has to do with the broker alone."""

_CONNECTION: Final = (
    "+auth +hello +ping +select +quit +reset +echo +client|setinfo +client|setname +client|id +client|info +info +time"
)
_TRANSACTIONS: Final = "+multi +exec +discard +watch +unwatch"
_SCRIPTS: Final = "+evalsha +script|load +script|exists"
_STREAMS: Final = (
    "+xadd +xrange +xrevrange +xlen +xtrim +publish +subscribe +unsubscribe +pexpire +expire +del +exists"
    " +zadd +zrangebyscore +zremrangebyscore +lpush +brpop"
)
_LISTEN: Final = "+psubscribe +punsubscribe +subscribe +unsubscribe +publish"
_BROKER: Final = (
    "+lpush +rpush +brpop +rpop +llen +blmove +hset +hget +hdel +hlen +zadd +zrem +zrange +zrevrangebyscore +zrangebyscore"
    " +sadd +srem +smembers +set +get +del +exists +expire +pexpire"
)
_PIDBOX: Final = ".celery.pidbox"


def rules(part: RedisPart, prefixes: Sequence[str] = ("",), database: int = 0) -> str:
    """A user's rules, as `ACL SETUSER` and the directive `user` of the configuration take them, without a password.

    `prefixes` are the deployment's, its own first (REDIS_PREFIX). `database` is the number in the broker's URL.
    """
    # Whoever subscribes to a pattern needs that very pattern.
    broadcasts = (f"/{database}{_PIDBOX}", f"/{database}.celeryev/*")
    return " ".join(("on", "resetkeys", "resetchannels", "-@all", _CONNECTION, _RULES[part](prefixes, broadcasts)))


def _names(prefixes: Sequence[str], *patterns: str, mark: str = "~") -> str:
    return " ".join(f"{mark}{prefix}{pattern}" for prefix in prefixes for pattern in patterns)


def _api(prefixes: Sequence[str], _: Sequence[str]) -> str:
    """It reads and appends logs, sends jobs, and counts tries; it takes no job, and commands no worker."""
    queues = _names(prefixes, *(f"{queue}*" for queue in QUEUES))
    return (
        f"{_TRANSACTIONS} {_SCRIPTS} {_STREAMS} {_names(prefixes, 'cortexai:*')} {_names(prefixes, 'cortexai:*', mark='&')}"
        f" ({queues} +lpush +llen) ({_names(prefixes, '_kombu.*')} +sadd +smembers +evalsha +zadd +zrem +exists +zrangebyscore)"
        f" ({_names(prefixes, 'cortexai:tries:*')} +get +incr +pttl +zscore +zremrangebyrank)"
    )


def _worker(prefixes: Sequence[str], broadcasts: Sequence[str]) -> str:
    """It takes jobs, writes logs, obeys commands and tells of itself."""
    keys = (*(f"{queue}*" for queue in QUEUES), "unacked*", "_kombu.*", f"*.reply{_PIDBOX}*", f"*{_PIDBOX}*")
    return (
        f"{_TRANSACTIONS} {_SCRIPTS} {_STREAMS} {_LISTEN} {_BROKER} {_names(prefixes, 'cortexai:*', *keys)}"
        f" {_names(prefixes, 'cortexai:*', *broadcasts, mark='&')}"
    )


def _flower(prefixes: Sequence[str], broadcasts: Sequence[str]) -> str:
    """It listens to the workers and commands them; of jobs it sees how many wait, and none's content."""
    keys = ("_kombu.*", f"*.reply{_PIDBOX}*", f"*{_PIDBOX}*", "celeryev*", "unacked*")
    queues = _names(prefixes, *(f"{queue}*" for queue in (*QUEUES, "celery")), mark="%R~")
    # What a process tries at its start, on names of its own.
    trial = "+lpush +brpop +expire +evalsha +exists"
    return (
        f"{_TRANSACTIONS} {_SCRIPTS} {_LISTEN} {_BROKER} {_names(prefixes, *keys)}"
        f" {_names(prefixes, 'cortexai:*', *broadcasts, mark='&')} ({queues} +llen)"
        f" ({_names(prefixes, 'cortexai:*:log:*')} {trial})"
    )


_RULES: Final[Mapping[RedisPart, Callable[[Sequence[str], Sequence[str]], str]]] = {
    "api": _api,
    "worker": _worker,
    "flower": _flower,
}
