"""What the AI SDK's door makes of a log for a client that asks its user: all that the client lacks, and nothing twice."""

import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from services.api.doors.ai_sdk.approval_stream import AskingStream, knows_approvals
from shared.ids import MessageId, OperationId, new_generation_id, new_operation_id
from shared.protocol import frames
from shared.protocol.encoding import encode_all
from shared.protocol.frames import Frame
from shared.streams.port import Entry, Offset

ONE, TWO = new_operation_id(), new_operation_id()
START = frames.start(MessageId(7), new_generation_id(), user_message_id=MessageId(6), chat_id=5)  # type: ignore[arg-type]
SEARCH = frames.tool_input("s", "web_search", {"query": "x"})
FOUND: list[Frame] = [frames.tool_output("s", []), frames.source_url("s-1", "https://example.org", "One")]
CALLS: list[Frame] = [frames.tool_input("a", "change", {"n": 1}), SEARCH, frames.tool_input("b", "change", {"n": 2})]
PROPOSED: list[Frame] = [frames.approval(str(ONE), "a", "proposed"), frames.approval(str(TWO), "b", "proposed")]
BEFORE: list[Frame] = [START, frames.start_step(), *CALLS, *FOUND, *PROPOSED]
DECIDED: list[Frame] = [
    *(frames.approval(str(ONE), "a", "committed"), frames.tool_output("a", {"rows": 1})),
    *(frames.approval(str(TWO), "b", "refused"), frames.tool_error("b", "No.")),
]
END: list[Frame] = [
    *(frames.finish_step(), frames.start_step(), frames.text_start("0"), frames.text_delta("0", "Done.")),
    *(frames.text_end("0"), frames.finish_step(), frames.finish("stop")),
]
DENIED = {"type": "tool-output-denied", "toolCallId": "b"}


def log_of(log: list[Frame]) -> list[Entry]:
    """The entries of a log."""
    return [
        Entry(Offset(1, sequence), frame, terminal=log[sequence - 1]["type"] == "finish")
        for sequence, frame in enumerate(encode_all(log), start=1)
    ]


def shown(log: list[Frame], *answered: OperationId) -> list[dict[str, Any]]:
    """The frames that a client gets which has answered these."""
    calls = {ONE: "a", TWO: "b"}
    asking = AskingStream({operation_id: calls[operation_id] for operation_id in answered})
    return [json.loads(entry.frame.removeprefix(b"data: ")) for entry in asking.take(log_of(log))]


def test_each_request_is_behind_its_proposal() -> None:
    told = shown(BEFORE)
    assert [frame["type"] for frame in told[-6:]] == [
        *("data-approval", "tool-input-available", "tool-approval-request"),
        *("data-approval", "tool-input-available", "tool-approval-request"),
    ]
    assert told[-1] == {"type": "tool-approval-request", "approvalId": str(TWO), "toolCallId": "b"}
    assert told[-2] == {**CALLS[2], "providerExecuted": False}


def test_nothing_is_asked_before_all_that_comes_has_come() -> None:
    asking = AskingStream()
    asked = [len(asking.asked()) for entry in log_of([*BEFORE, *DECIDED]) if asking.take([entry])]
    assert asked == [0] * (len(BEFORE) - 1) + [2, 0, 1, 0, 0]


def test_a_client_that_has_answered_gets_what_comes_after() -> None:
    rest = [START, *DECIDED[:3], DENIED, *END]
    assert shown([*BEFORE, START, *DECIDED, *END], ONE, TWO) == [START, *rest]
    assert shown([*BEFORE, START, *DECIDED, *END], TWO) == [START, *rest]


@pytest.mark.parametrize(
    "remade",
    [
        # By a worker that found no log.
        [START, frames.start_step(), *CALLS, *FOUND, *DECIDED],
        # From the message's row.
        [
            *(START, frames.start_step(), CALLS[0], DECIDED[1], SEARCH, FOUND[0], CALLS[2], DECIDED[3], FOUND[1]),
            *(DECIDED[0], DECIDED[2]),
        ],
    ],
)
def test_of_a_log_that_was_made_again_the_client_gets_the_outcomes_and_what_comes_after(remade: list[Frame]) -> None:
    told = shown([*remade, *END], ONE, TWO)
    assert told[0] == START
    assert told[-len(END) :] == END
    calls = [frame for frame in told[1 : -len(END)] if frame["type"].startswith("tool-")]
    assert calls[0] == DECIDED[1]
    assert calls[1]["type"] in {"tool-output-denied", "tool-output-error"}
    assert [frame["id"] for frame in told if frame["type"] == "data-approval"] == [str(ONE), str(TWO)]
    assert all(frame["type"] != "source-url" for frame in told)


def test_a_log_that_ends_without_any_of_this_ends_for_the_client_too() -> None:
    assert [frame["type"] for frame in shown([START, *END], ONE)] == ["start", "finish"]


@pytest.mark.parametrize(
    ("headers", "knows"),
    [
        ({}, False),
        ({"x-ai-sdk-approvals": "1"}, True),
        ({"x-ai-sdk-approvals": "0", "user-agent": "ai-sdk/6.0.0"}, False),
        ({"user-agent": "ai-sdk/5.0.150 runtime/node.js/22"}, False),
        ({"user-agent": "ai-sdk/6.0.0 runtime/node.js/22"}, True),
        ({"user-agent": "Mozilla/5.0 (X11; rv:140.0) ai-sdk/10.1.0 runtime/browser"}, True),
        ({"user-agent": "their-ai-sdk/6.0.0"}, False),
        ({"user-agent": "ai-sdk/openai/6.0.0"}, False),
    ],
)
def test_who_knows_approvals(headers: dict[str, str], knows: bool) -> None:
    assert knows_approvals(Headers(headers)) is knows
