"""What should never be in the broker: a table of items that are no jobs, each made from a good one."""

import base64
import json
import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final
from uuid import uuid4

from shared.jobs.names import COMMIT, GENERATE, SUMMARIZE

SECRET: Final = "a secret that no log may show"
"""Stands in many of the items."""
AN_ID: Final = "01a2057e-bab0-716b-b6da-fbfa26097c08"
"""It stands in the name of a test, which is the same in each process."""
NO_TEXT: Final[tuple[object, ...]] = (None, 1, True, [], {})


def job(task: str = GENERATE, *arguments: object, **headers: object) -> dict[str, Any]:
    """A good job, as Celery sends it, for a generation that is not there."""
    return {
        "body": encoded([list(arguments or (str(uuid4()),)), {}, {"callbacks": None, "errbacks": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": str(uuid4()), "retries": 0, "timelimit": [None, None], **headers},
        "properties": {
            "correlation_id": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": "generations"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def encoded(value: object) -> str:
    """A body."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    made = deepcopy(job())
    change(made)
    return json.dumps(made).encode()


def _without(*path: str) -> bytes:
    def change(made: dict[str, Any]) -> None:
        for name in path[:-1]:
            made = made[name]
        del made[path[-1]]

    return _changed(change)


def _with(value: object, *path: str) -> bytes:
    def change(made: dict[str, Any]) -> None:
        for name in path[:-1]:
            made = made[name]
        made[path[-1]] = value

    return _changed(change)


def _pickled() -> bytes:
    body = base64.b64encode(pickle.dumps([[SECRET], {}, {}])).decode()
    made = job() | {"body": body, "content-type": "application/x-python-serialize", "content-encoding": "binary"}
    return json.dumps(made).encode()


def poison() -> Iterator[tuple[str, bytes]]:
    """Names and items. No worker may take any of them for a job."""
    yield "nothing", b""
    yield "text", SECRET.encode()
    yield "no UTF-8", b"\xff\xfe\x00"
    yield "NUL", b"\0" * 20
    yield "a number", b"1"
    yield "null", b"null"
    yield "a list", b"[]"
    yield "an empty object", b"{}"
    yield "half of a job", json.dumps(job()).encode()[:200]
    yield "deep nesting", b"[" * 60_000
    yield "10 MB", json.dumps(job() | {"padding": "x" * 10_000_000}).encode()
    yield "a huge number", b'{"headers": ' + b"1" * 10_000 + b"}"
    yield "a type of kombu's", b'{"__type__": "uuid", "__value__": {"hex": 1}}'
    for name in ("headers", "properties", "body", "content-type", "content-encoding"):
        yield f"no {name}", _without(name)
        for value in (*NO_TEXT, SECRET):
            yield f"{name} {value!r}", _with(value, name)
    yield "pickle", _pickled()
    yield "pickle as JSON", _with(base64.b64encode(pickle.dumps([SECRET])).decode(), "body")
    yield "yaml", _with("application/x-yaml", "content-type")
    yield "an unknown encoding", _with("rot13", "properties", "body_encoding")
    yield "no encoding", _without("properties", "body_encoding")
    yield "wrong base64", _with("@@@", "body")
    yield "an unknown task", _with(f"cortexai.{SECRET}", "headers", "task")
    yield "a task of Celery's", _with("celery.backend_cleanup", "headers", "task")
    for value in NO_TEXT:
        yield f"task {value!r}", _with(value, "headers", "task")
        yield f"id {value!r}", _with(value, "headers", "id")
    yield "a long id", _with(SECRET * 100, "headers", "id")
    for value in (*NO_TEXT[1:], "never", "9999-99-99T00:00:00", "0001-01-01T00:00:00+23:59"):
        yield f"expires {value!r}", _with(value, "headers", "expires")
    wrong: tuple[object, ...] = ([], [1], [None], [SECRET], [[]], [{}], ["1", "2"], [AN_ID] * 2, {}, "x", None)
    for arguments in wrong:
        yield f"arguments {arguments!r}", _with(encoded([arguments, {}, {}]), "body")
    yield "named arguments", _with(encoded([[str(uuid4())], {"generation_id": SECRET}, {}]), "body")
    yield "no triple", _with(encoded([[str(uuid4())]]), "body")
    yield "a commit of nothing", json.dumps(job(COMMIT, SECRET)).encode()
    for chat in ("-1", "0", "1.0", "٣", "9" * 5000, SECRET, 1, None):
        yield f"a summary of {str(chat)[:20]!r}", json.dumps(job(SUMMARIZE, chat)).encode()


def commands() -> Iterator[tuple[str, bytes]]:
    """Names and messages that are broadcast to the workers, of which none is a command."""
    yield "text", SECRET.encode()
    yield "no UTF-8", b"\xff\xfe"
    yield "deep nesting", b"[" * 100_000
    for value in (*NO_TEXT, "x", {"properties": {}}, {"headers": {}, "properties": {}, "body": SECRET}):
        yield f"{value!r}", json.dumps(value).encode()
    good = job() | {"body": encoded({"method": "ping", "arguments": {}, "destination": None})}
    for name, body in {
        "no method": {"arguments": {}},
        "a method that is none": {"method": [SECRET]},
        "an unknown method": {"method": "no_such_method"},
        "wrong arguments": {"method": "ping", "arguments": {"x": 1}},
        "arguments that are none": {"method": "ping", "arguments": 5},
        "a destination that is none": {"method": "ping", "destination": 1},
        "a pattern that never ends": {"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"},
        "an answer to nowhere": {"method": "ping", "reply_to": {}},
        "an answer to a number": {"method": "ping", "reply_to": 1},
        "more than a command": {"method": "ping", "state": 1},
        "a list": [1],
    }.items():
        yield name, json.dumps(good | {"body": encoded(body)}).encode()
    yield "a clock that is none", json.dumps(good | {"headers": {"clock": "x"}}).encode()
    yield "pickle", _pickled()
