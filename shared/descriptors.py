"""How many files and sockets a process may have open, and how many of them may be clients' connections."""

import resource
from typing import Final

ENOUGH: Final = 65_536
"""What a process raises its limit to, where the system allows more than it gives. No more descriptors are used, either: a
million of them, as Docker may give, would be a million half-sent heads in memory."""
OTHERS: Final = 128
"""Descriptors for all that is no client's connection: Redis, logs, modules, and connections that are just being closed."""
FEWEST: Final = 16
"""Connections that are let in, however low the limit."""


def raise_limit() -> int:
    """Raise the process's limit of open files to what the system allows, up to ENOUGH. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = possible_limit()
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit than the one that it tells
            return soft
    return wanted


def possible_limit() -> int:
    """What `raise_limit` raises the limit to: at least what it is."""
    soft, hard = (
        ENOUGH if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    return max(soft, min(hard, ENOUGH))


def connections_within(limit: int, database_pool_size: int) -> int:
    """How many connections of clients leave enough descriptors for the database and all others."""
    return max(min(limit, ENOUGH) - OTHERS - database_pool_size, FEWEST)
