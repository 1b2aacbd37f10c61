"""A job as it travels to the workers: what is to be done with what, and the trace in which somebody asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.jobs.names import COMMIT, GENERATE, MAIL, TITLE, QueueName, TaskName
from shared.telemetry.traces import TRACEPARENT, TraceContext, read_traceparent


@dataclass(frozen=True, slots=True)
class Job:
    """A task's name, its queue and its only argument.

    The trace travels as a header of the message, not as an argument: a worker that knows nothing of it takes the job all
    the same. OpenTelemetry's instrumentation of Celery uses the same header.
    """

    task: TaskName
    queue: QueueName
    argument: str
    trace: TraceContext | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The message's headers."""
        return {TRACEPARENT: self.trace.traceparent} if self.trace is not None else {}

    @property
    def log_fields(self) -> dict[str, str]:
        """What a log line says of the job."""
        names = {GENERATE: "generation_id", TITLE: "generation_id", COMMIT: "operation_id", MAIL: "mail_id"}
        return {"task": self.task, names.get(self.task, "chat_id"): self.argument}


def read_trace(headers: Mapping[str, object] | None) -> TraceContext | None:
    """The trace that a message's headers name; None when they name none."""
    value = (headers or {}).get(TRACEPARENT)
    return read_traceparent(value) if isinstance(value, str) else None
