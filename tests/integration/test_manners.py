"""What endpoints and models do that is not quite an answer: the person gets an answer, or one sentence that says what to do."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.support.clients import Client, Event, error_of, numbered, text_of, types_of
from tests.support.turns import answer, execute, logged, open_worker_for

NOTHING_SAID = ["stop_with_nothing", "only_spaces", "only_reasoning", "length_with_nothing", "unknown_tool"]
BROKEN_BEFORE_A_WORD = ["role_then_error", "role_then_reset", "role_then_cut", "role_then_end", "role_then_malformed"]


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """With a fallback."""
    return settings_for(database_url, valkey.url, groq_url, groq_fallback_model="small")


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[Worker]:
    """A worker without a fallback."""
    async with open_worker_for(settings.model_copy(update={"groq_fallback_model": None})) as opened:
        yield opened


def statuses(events: list[Event]) -> list[str]:
    """What readers were told is being done."""
    return [event.part["data"]["status"] for event in events if event.part["type"] == "data-status"]


async def models_asked(groq_url: str, words: str) -> list[str]:
    """The models that were asked, in order."""
    return [asked["body"]["model"] for asked in await groq_control.requests(groq_url, containing=words)]


@pytest.mark.parametrize("manner", [*BROKEN_BEFORE_A_WORD, *NOTHING_SAID])
async def test_what_happens_once_before_a_word_is_said_is_asked_again(
    client: Client, alone: Worker, caplog: pytest.LogCaptureFixture, manner: str
) -> None:
    posted, events = await answer(client, alone, f"{uuid4().hex} [[tokens=4 manner={manner} once=1]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")
    assert statuses(events) == ["generating", "retrying"]
    _, reply = await client.messages(posted.chat_id)
    assert (reply["content"], reply["status"]) == (numbered(4), "completed")
    (line,) = logged(caplog, "model_retry")
    assert line["model"] == "double"
    assert logged(caplog, "answer_failed") == []


@pytest.mark.parametrize("manner", [*BROKEN_BEFORE_A_WORD, *NOTHING_SAID])
async def test_a_model_with_this_manner_is_replaced_by_the_fallback_which_is_booked(
    client: Client, worker: Worker, groq_url: str, database_url: str, caplog: pytest.LogCaptureFixture, manner: str
) -> None:
    words = uuid4().hex
    _, events = await answer(client, worker, f"{words} [[tokens=4 manner={manner} model=double]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")
    tries = 2 if manner in NOTHING_SAID else 3
    assert await models_asked(groq_url, words) == ["double"] * tries + ["small"]
    (line,) = logged(caplog, "model_fallback")
    assert (line["model"], line["fallback"]) == ("double", "small")
    booked = execute(database_url, "SELECT model, is_estimate FROM model_calls ORDER BY id")
    assert booked[-1] == ("small", False)
    paid_for_nothing = tries if manner in NOTHING_SAID else 0
    assert [model for model, _ in booked[:-1]] == ["double"] * paid_for_nothing


@pytest.mark.parametrize("manner", NOTHING_SAID)
async def test_models_that_say_nothing_fail_clearly_and_the_next_message_is_answered(
    client: Client, worker: Worker, groq_url: str, caplog: pytest.LogCaptureFixture, manner: str
) -> None:
    posted, events = await answer(client, worker, f"{uuid4().hex} [[tokens=4 manner={manner}]]")
    assert error_of(events) == "model_said_nothing"
    assert "Send the message again" in events[-1].part["errorText"]
    _, reply = await client.messages(posted.chat_id)
    assert (reply["content"], reply["status"]) == ("", "failed")
    (line,) = logged(caplog, "answer_failed")
    assert (line["code"], line["model"]) == ("model_said_nothing", "small")

    words = uuid4().hex
    _, events = await answer(client, worker, f"{words} [[tokens=2]]", posted.chat_id)
    assert text_of(events) == numbered(2)
    (asked,) = await groq_control.requests(groq_url, containing=words, ended=1)
    assert all(said["content"].strip() for said in asked["body"]["messages"])


async def test_thoughts_before_a_failure_stay_and_the_answer_follows(client: Client, alone: Worker) -> None:
    posted, events = await answer(client, alone, f"{uuid4().hex} [[tokens=3 manner=only_reasoning once=1]]")
    kinds = [kind for kind in types_of(events) if kind.startswith(("reasoning", "text", "data-retry"))]
    assert kinds[0] == "reasoning-start"
    assert kinds.index("reasoning-end") < kinds.index("text-start")
    _, reply = await client.messages(posted.chat_id)
    assert [part["type"] for part in reply["parts"]] == ["step-start", "reasoning", "text"]
    assert reply["content"] == text_of(events) == numbered(3)


async def test_a_silent_model_is_replaced_by_the_fallback(client: Client, settings: Settings, groq_url: str) -> None:
    words = uuid4().hex
    async with open_worker_for(settings.model_copy(update={"model_read_timeout_seconds": 2})) as impatient:
        _, events = await answer(client, impatient, f"{words} [[tokens=4 fault=hang model=double]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")
    assert await models_asked(groq_url, words) == ["double", "small"]


@pytest.mark.parametrize("fault", ["fault=400", "fault=404", "fault=500 retry_after=0", "fault=429 retry_after=100"])
async def test_a_model_that_refuses_is_replaced_by_the_fallback(client: Client, worker: Worker, fault: str) -> None:
    _, events = await answer(client, worker, f"{uuid4().hex} [[tokens=4 {fault} model=double]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")


async def test_a_model_that_fails_over_tools_is_asked_without_them_after_its_fallback(
    client: Client, settings: Settings, groq_url: str
) -> None:
    words = uuid4().hex
    await groq_control.script(groq_url, "fault=400 code=bad_request", marker=words, times=2)
    async with open_worker_for(settings.model_copy(update={"tools": ("current_time",)})) as opened:
        _, events = await answer(client, opened, f"{words} [[tokens=4]]")
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")
    asked = await groq_control.requests(groq_url, containing=words)
    assert ["tools" in request["body"] for request in asked] == [*[True] * (len(asked) - 1), False]
    assert asked[-1]["body"]["model"] == "double"
