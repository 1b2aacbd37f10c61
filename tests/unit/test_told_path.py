"""What was said before a request, as messages for the model."""

from typing import Any

import pytest

from services.worker.generations.given_context import with_earlier
from shared.errors import PromptTooLong
from shared.generations.outcome import BROKEN_OFF
from shared.generations.parameters import MAX_MESSAGES, MAX_TEXT_CHARS, GivenCall, GivenMessage, Parameters
from shared.generations.told_path import Earlier, PathMessage, tell_all, unanswered

OWN = (GivenMessage(role="user", content="And now?"),)


def question(content: str = "Hi.", position: int = 1, **more: Any) -> PathMessage:  # noqa: ANN401
    return PathMessage(position, "user", content, "completed", **more)


def reply(content: str, status: str = "completed", *calls: str, position: int = 2) -> PathMessage:
    parts = [{"type": "dynamic-tool", "toolCallId": one, "toolName": "weather", "input": {"a": 1}} for one in calls]
    return PathMessage(position, "assistant", content, status, calls=parts or None)


def test_an_answer_that_broke_off_is_told_as_one_and_one_without_words_is_not() -> None:
    told = tell_all(Earlier([question(), reply("Well", "cancelled"), question(), reply("", "failed")]), OWN)
    assert told is not None
    assert [one.content for one in told] == ["Hi.", f"Well\n\n{BROKEN_OFF}", "Hi.", "And now?"]


@pytest.mark.parametrize(("status", "missing"), [("completed", "c1"), ("cancelled", None)])
def test_calls_of_a_broken_answer_need_no_output(status: str, missing: str | None) -> None:
    told = tell_all(Earlier([question(), reply("Well", status, "c1")]), OWN)
    assert told is not None
    assert unanswered(told) == missing


def test_an_output_may_come_late_for_an_answer_that_broke_off() -> None:
    output = GivenMessage(role="tool", content="Sunny.", call_id="c1")
    told = tell_all(Earlier([question(), reply("", "cancelled", "c1")]), (output,))
    assert told is not None
    assert [(one.role, [call.id for call in one.calls]) for one in told] == [
        ("user", []),
        ("assistant", ["c1"]),
        ("tool", []),
    ]
    assert unanswered(told) is None


def test_what_was_taken_back_is_masked_where_it_was_said_before() -> None:
    path = [question("In Rome.", given=[{"role": "user", "content": "In Rome."}]), reply("Rome!"), question("Rome", 3)]
    told = tell_all(Earlier(path, [(2, "Rome")]), OWN)
    assert told is not None
    assert [one.content for one in told] == ["In [forgotten].", "[forgotten]!", "Rome", "And now?"]


@pytest.mark.parametrize(
    "path",
    [
        [question("x" * (MAX_TEXT_CHARS - 7))],
        [question()] * MAX_MESSAGES,
        [
            question(
                given=[{"role": "assistant", "calls": [{"id": "c", "name": "f", "arguments": '"' * MAX_TEXT_CHARS}]}]
            )
        ],
    ],
    ids=["characters", "messages", "arguments"],
)
async def test_too_much_is_told_to_no_model(path: list[PathMessage]) -> None:
    assert tell_all(Earlier(path), OWN) is None
    assert tell_all(Earlier(path[:-1]), OWN) is not None
    for earlier in (Earlier(path), Earlier(is_too_long=True)):
        with pytest.raises(PromptTooLong):
            await with_earlier(Parameters(messages=OWN), earlier)


async def test_a_request_that_brings_all_along_is_told_alone() -> None:
    parameters = Parameters(messages=OWN)
    assert await with_earlier(parameters, None) == parameters
    continued = await with_earlier(parameters, Earlier([question()]))
    assert continued.messages == (GivenMessage(role="user", content="Hi."), *OWN)


def test_calls_of_one_answer_are_one_message() -> None:
    calls = [GivenMessage(role="assistant", calls=(GivenCall(id=name, name="f"),)) for name in "ab"]
    told = tell_all(Earlier(), calls)
    assert told is not None
    assert [[call.id for call in one.calls] for one in told] == [["a", "b"]]
