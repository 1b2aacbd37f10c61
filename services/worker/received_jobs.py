"""A job as the broker has it. Whatever somebody put there, Celery gets a message that is made here, or none.

Celery and kombu take a message's shape on trust: an item that is no JSON, or lacks a field, ends the worker, and what they
do not understand they log whole. Source: https://docs.celeryq.dev/en/stable/internals/protocol.html (version 2).
"""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID, uuid4

from shared.ids import MAX_BIGINT
from shared.jobs.names import COMMIT, GENERATE, MAIL, SUMMARIZE, SWEEP, TITLE, TaskName
from shared.telemetry.traces import TRACEPARENT

Fault = Literal[
    "too_large", "not_json", "wrong_shape", "wrong_encoding", "unknown_task", "wrong_arguments", "not_a_command"
]
"""Why an item is no job of ours."""

ON_DROPPED: Final = "on_dropped"
"""The transport's option: what is told of each item that is dropped."""
MAX_BYTES: Final = 65_536
"""The most bytes of an item. A job of ours has about 1,200."""
MAX_ID_CHARS: Final = 64
EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class NotAJob(ValueError):
    """An item of the broker's is no job of ours. The message is the fault, and nothing of the item."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


def read_job(item: bytes, queue: str) -> bytes:
    """The message that Celery gets for an item of a queue: the item's task, argument, id, expiry and trace, and no more.

    Raises:
        NotAJob: the item is no job of ours.

    """
    return json.dumps(_message(_parse(item), queue)).encode()


def is_unacknowledged_job(value: bytes) -> bool:
    """Whether a value of the hash of unacknowledged jobs can be given back: the message, its exchange, its routing key."""
    try:
        waiting = _parse(value)
        if not isinstance(waiting, list) or len(waiting) != len(("message", "exchange", "routing key")):
            return False
        message, exchange, routing_key = waiting
        _message(message, "")
    except NotAJob:
        return False
    return isinstance(exchange, str) and isinstance(routing_key, str)


def is_command(item: bytes) -> bool:
    """Whether a broadcast message can be a command to the workers, as Flower sends them."""
    try:
        message = _parse(item)
        headers, properties, body = (_field(message, name) for name in ("headers", "properties", "body"))
        kind = _field(message, "content-type"), _field(message, "content-encoding")
        if not (isinstance(headers, dict) and isinstance(properties, dict) and isinstance(body, str)):
            return False
        command = _decode(body, properties.get("body_encoding"))
    except NotAJob:
        return False
    return (
        kind == ("application/json", "utf-8")
        and type(headers.get("clock", 0)) is int
        and isinstance(properties.get("delivery_tag"), str)
        and isinstance(command, dict)
        and _is_command(command)
    )


def _is_command(command: Mapping[str, object]) -> bool:
    method, destination, reply_to = command.get("method"), command.get("destination"), command.get("reply_to")
    return (
        isinstance(method, str)
        and method.isidentifier()
        and isinstance(command.get("arguments") or {}, dict)
        and (
            destination is None or (isinstance(destination, list) and all(isinstance(one, str) for one in destination))
        )
        and command.get("pattern") is None  # Flower has none, and a pattern can take for ever
        and (reply_to is None or _is_address(reply_to))
        and isinstance(command.get("ticket", ""), str | None)
    )


def _is_address(reply_to: object) -> bool:
    return isinstance(reply_to, dict) and all(
        isinstance(reply_to.get(name), str) for name in ("exchange", "routing_key")
    )


def _parse(text: bytes | str) -> Any:  # noqa: ANN401 - JSON
    if len(text) > MAX_BYTES:
        raise NotAJob("too_large")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # too deep a nesting
        raise NotAJob("not_json") from None


def _message(item: Any, queue: str) -> Mapping[str, object]:  # noqa: ANN401 - JSON
    headers, properties, body = (_field(item, name) for name in ("headers", "properties", "body"))
    if not (isinstance(headers, dict) and isinstance(properties, dict) and isinstance(body, str)):
        raise NotAJob("wrong_shape")
    if _field(item, "content-type") != "application/json" or _field(item, "content-encoding") != "utf-8":
        raise NotAJob("wrong_encoding")
    task, job_id = headers.get("task"), headers.get("id")
    if task not in get_args(TaskName) or not isinstance(task, str):
        raise NotAJob("unknown_task")
    if not isinstance(job_id, str) or len(job_id) > MAX_ID_CHARS:
        raise NotAJob("wrong_shape")
    arguments = _arguments(task, _decode(body, properties.get("body_encoding")))
    trace = headers.get(TRACEPARENT)
    return {
        "body": base64.b64encode(json.dumps([arguments, {}, EMBED]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "lang": "py",
            "task": task,
            "id": job_id,
            "root_id": job_id,
            "parent_id": None,
            "retries": 0,
            "timelimit": [None, None],
            "eta": None,
            "expires": _expiry(headers.get("expires")),
            "argsrepr": repr(arguments),
            "kwargsrepr": "{}",
            **({TRACEPARENT: trace} if isinstance(trace, str) else {}),
        },
        "properties": {
            # Of our own: two items with one tag would be acknowledged for each other.
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64",
            "priority": 0,
        },
    }


def _field(item: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(item, dict) or name not in item:
        raise NotAJob("wrong_shape")
    return item[name]


def _decode(body: str, encoding: object) -> Any:  # noqa: ANN401 - JSON
    if encoding != "base64":
        raise NotAJob("wrong_encoding")
    try:
        return _parse(base64.b64decode(body, validate=True))
    except ValueError:
        raise NotAJob("wrong_encoding") from None


def _arguments(task: str, body: Any) -> list[str]:  # noqa: ANN401 - JSON
    match body:
        case [list(arguments), dict(named), dict()] if not named and len(arguments) == len(ARGUMENTS[task]):
            try:
                return [read(given) for read, given in zip(ARGUMENTS[task], arguments, strict=True)]
            except (ValueError, AttributeError, TypeError):
                pass
    raise NotAJob("wrong_arguments")


def _uuid(given: str) -> str:
    return str(UUID(given))


def _number(given: str) -> str:
    if given.isascii() and given.isdigit() and len(given) <= len(str(MAX_BIGINT)) and 0 < int(given) <= MAX_BIGINT:
        return str(int(given))
    raise ValueError


ARGUMENTS: Final[Mapping[str, tuple[Callable[[str], str], ...]]] = {
    GENERATE: (_uuid,),
    TITLE: (_uuid,),
    COMMIT: (_uuid,),
    SUMMARIZE: (_number,),
    MAIL: (_number,),
    SWEEP: (),
}
"""What each task takes."""


def _expiry(value: object) -> str | None:
    """When a job is out of date, in UTC."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise NotAJob("wrong_shape")
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise NotAJob("wrong_shape") from None
