"""Items of the broker as jobs: ours are read as they were sent, and nothing else is a job."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from services.worker.received_jobs import NotAJob, is_command, is_unacknowledged_job, read_job
from shared.jobs.names import COMMIT, GENERATE, MAIL, SUMMARIZE, SWEEP, TITLE
from shared.telemetry.traces import TRACEPARENT, new_trace
from tests.support.poison import SECRET, commands, job, poison


def read(made: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The message that Celery gets, and its arguments."""
    message = json.loads(read_job(json.dumps(made).encode(), "generations"))
    arguments, named, _ = json.loads(base64.b64decode(message["body"]))
    assert named == {}
    return message, arguments


@pytest.mark.parametrize("task", [GENERATE, COMMIT, TITLE])
def test_a_job_is_read_as_it_was_sent(task: str) -> None:
    argument, trace = str(uuid4()), new_trace().traceparent
    sent = job(task, argument, **{TRACEPARENT: trace})
    message, arguments = read(sent)
    assert arguments == [argument]
    assert message["headers"]["task"] == task
    assert message["headers"]["id"] == sent["headers"]["id"]
    assert message["headers"][TRACEPARENT] == trace
    assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": "generations"}


@pytest.mark.parametrize("task", [SUMMARIZE, MAIL])
def test_a_chat_and_a_mail_are_named_by_their_numbers(task: str) -> None:
    assert read(job(task, "7"))[1] == ["7"]


def test_a_periodic_job_keeps_its_expiry() -> None:
    app = Celery()
    message = app.amqp.as_task_v2(str(uuid4()), SWEEP, expires=datetime.now(UTC) + timedelta(seconds=4))
    sent = job() | {"headers": message.headers, "body": base64.b64encode(json.dumps(message.body).encode()).decode()}
    read_message, arguments = read(sent)
    assert arguments == []
    assert datetime.fromisoformat(read_message["headers"]["expires"]) == datetime.fromisoformat(
        message.headers["expires"]
    )


def test_of_two_items_with_one_tag_each_has_a_tag_of_its_own() -> None:
    sent = job()
    tags = {read(sent)[0]["properties"]["delivery_tag"] for _ in range(2)}
    assert len(tags) == 2


@pytest.mark.parametrize(("name", "item"), [pytest.param(*one, id=one[0]) for one in poison()])
def test_nothing_else_is_a_job(name: str, item: bytes) -> None:
    with pytest.raises(NotAJob) as refused:
        read_job(item, "generations")
    assert SECRET not in str(refused.value), name


@given(st.binary(max_size=200))
def test_no_bytes_end_a_worker(item: bytes) -> None:
    with pytest.raises(NotAJob):
        read_job(item, "generations")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([GENERATE, "base64"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(list(job())), inner),
        max_leaves=20,
    )
)
def test_no_json_ends_a_worker(value: object) -> None:
    item = json.dumps(value).encode()
    with pytest.raises(NotAJob):
        read_job(item, "generations")
    assert not is_unacknowledged_job(item)
    assert not is_command(item)


def test_a_job_that_is_not_acknowledged_can_be_given_back() -> None:
    message = json.loads(read_job(json.dumps(job()).encode(), "generations"))
    assert is_unacknowledged_job(json.dumps([message, "", "generations"]).encode())
    assert not is_unacknowledged_job(json.dumps([message, "", None]).encode())
    assert not is_unacknowledged_job(json.dumps([message, ""]).encode())


def test_what_flower_sends_is_a_command() -> None:
    body: dict[str, object] = {
        "method": "stats",
        "arguments": {},
        "destination": None,
        "pattern": None,
        "matcher": None,
        "ticket": "1",
    }
    reply_to = {"exchange": "reply.celery.pidbox", "routing_key": "x"}
    command = base64.b64encode(json.dumps({**body, "reply_to": reply_to}).encode()).decode()
    assert is_command(json.dumps(job(clock=3) | {"body": command}).encode())


def test_little_of_what_is_broadcast_else_is_a_command() -> None:
    passed = [name for name, message in commands() if is_command(message)]
    assert passed == [
        "an unknown method",
        "wrong arguments",
        "more than a command",
    ]  # Celery answers these with an error
