"""How long the server lets the application's role do something."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: one statement, a wait for a lock, and an open transaction in which nothing happens."""

    statement: int
    lock: int
    idle: int
