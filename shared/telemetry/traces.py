"""Trace context: the request that a log line belongs to, across processes. Source: https://www.w3.org/TR/trace-context/.

No spans are recorded here. A trace id joins the log lines of the API and of the workers with each other, and with those of
whoever sent the request.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from structlog.contextvars import bind_contextvars, bound_contextvars

TRACEPARENT: Final = "traceparent"
"""The name of the header: of an HTTP request, and of a job's message."""
KNOWN_FLAGS: Final = 0b11
"""Sampled, and random trace id. What the other bits mean is not decided, so they are not passed on."""
_FORM: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span in it that is the parent of what comes next: 32 and 16 lower-case hexadecimal digits."""

    trace_id: str
    parent_id: str
    flags: int = 0

    @property
    def traceparent(self) -> str:
        """The header's value, in version 00 (section 3.2)."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"


def new_trace() -> TraceContext:
    """A trace that begins here. Nobody records its spans, so it is not sampled."""
    return TraceContext(_random(16), _random(8))


def _random(size: int) -> str:
    """A random number of `size` bytes that is not zero, in hexadecimal."""
    return f"{secrets.randbelow(256**size - 1) + 1:0{2 * size}x}"


def read_traceparent(text: str | None) -> TraceContext | None:
    """The trace context that a header's value names. None for anything else: an invalid header counts as none.

    A later version is read as far as version 00 goes (section 4.3).
    """
    found = _FORM.fullmatch(text or "")
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return None
    return TraceContext(found["trace"], found["parent"], int(found["flags"], 16) & KNOWN_FLAGS)


_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current_trace() -> TraceContext | None:
    """The trace of the work that calls this; None where none is bound.

    A task has the context of the moment when it was created: work on a generation in another task binds its trace itself.
    """
    return _current.get()


def bind_trace(trace: TraceContext) -> None:
    """Do what follows in this task in this trace, to the task's end: its log lines carry `trace_id`."""
    _current.set(trace)
    bind_contextvars(trace_id=trace.trace_id)


@contextmanager
def bound_trace(trace: TraceContext | None) -> Iterator[None]:
    """Do what follows in this trace: its log lines carry `trace_id`. None leaves the trace that is bound as it is."""
    if trace is None:
        yield
        return
    token = _current.set(trace)
    try:
        with bound_contextvars(trace_id=trace.trace_id):
            yield
    finally:
        _current.reset(token)
