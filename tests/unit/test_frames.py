"""Frames: one intact SSE event each, whatever the texts in them hold."""

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.ids import GenerationId, MessageId
from shared.protocol import frames

NASTY = (
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "data: [DONE]\n\n",
    "\nid: 7\n",
    "\u2028",
    "\u2029",
    "\x85",
    "\v\f\x1c\x1d\x1e",
    "\0",
    "😀",
    "\\u2028",
    "\\",
)
texts = st.lists(st.text() | st.sampled_from(NASTY)).map("".join)
any_code_points = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]))
GENERATION = GenerationId(UUID("0198c0de-0000-7000-8000-000000000001"))


@given(texts)
@example("".join(NASTY))
@example("data: {}\n\ndata: [DONE]\n\n")
def test_a_frame_is_one_data_line_for_every_line_splitter(text: str) -> None:
    frame = frames.encode(frames.text_delta("0", text))
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert (frame.count(b"\n"), frame.count(b"\r")) == (2, 0)
    assert len(frame.decode().splitlines()) == 2


@given(texts, texts)
def test_decoding_gives_back_what_was_encoded(text: str, key: str) -> None:
    part = frames.data("status", {key: text, "nested": [text, None, 1.5, True]})
    assert frames.decode(frames.encode(part)) == part


def test_a_very_long_text_is_still_one_line() -> None:
    text = "ä\u2028\n" * 1_000_000
    frame = frames.encode(frames.text_delta("0", text))
    assert frame.count(b"\n") == 2
    assert frames.decode(frame)["delta"] == text


def test_what_is_no_text_is_refused_instead_of_sent_broken() -> None:
    with pytest.raises(UnicodeEncodeError):
        frames.encode(frames.text_delta("0", "\ud800"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_refused_instead_of_sent_broken(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        frames.encode(frames.data("usage", {"value": value}))


@given(any_code_points)
@example("\ud83d\ude00")
@example("a\0b")
def test_clean_text_can_be_stored_and_sent(text: str) -> None:
    cleaned = frames.clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert frames.clean(cleaned) == cleaned


@given(texts.filter(lambda text: "\0" not in text))
def test_cleaning_leaves_good_text_alone(text: str) -> None:
    assert frames.clean(text) == text


@pytest.mark.parametrize("code", [0x0000, 0xD800, 0xDBFF, 0xDC00, 0xDFFF], ids=hex)
def test_each_character_that_can_not_be_kept_becomes_one_replacement_character(code: int) -> None:
    assert frames.clean(f"ä{chr(code)}b{chr(code)}{chr(code)}") == "ä\ufffdb\ufffd\ufffd"


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            frames.start(MessageId(42), GENERATION),
            {"type": "start", "messageId": "42", "messageMetadata": {"generationId": str(GENERATION)}},
        ),
        (frames.start_step(), {"type": "start-step"}),
        (frames.finish_step(), {"type": "finish-step"}),
        (frames.text_start("0"), {"type": "text-start", "id": "0"}),
        (frames.text_delta("0", "hi"), {"type": "text-delta", "id": "0", "delta": "hi"}),
        (frames.text_end("0"), {"type": "text-end", "id": "0"}),
        (frames.reasoning_start("r"), {"type": "reasoning-start", "id": "r"}),
        (frames.reasoning_delta("r", "hm"), {"type": "reasoning-delta", "id": "r", "delta": "hm"}),
        (frames.reasoning_end("r"), {"type": "reasoning-end", "id": "r"}),
        (frames.data("retry", {"attempt": 2}), {"type": "data-retry", "data": {"attempt": 2}, "transient": True}),
        (frames.data("title", {"title": "T"}, transient=False), {"type": "data-title", "data": {"title": "T"}}),
        (frames.finish("stop"), {"type": "finish", "finishReason": "stop"}),
        (
            frames.finish("length", {"usage": {"totalTokens": 3}}),
            {"type": "finish", "finishReason": "length", "messageMetadata": {"usage": {"totalTokens": 3}}},
        ),
        (frames.error("Sorry.", "model_error"), {"type": "error", "errorText": "Sorry.", "code": "model_error"}),
        (frames.abort("cancelled"), {"type": "abort", "reason": "cancelled"}),
    ],
    ids=lambda part: str(part["type"]),
)
def test_a_part_looks_on_the_wire_as_the_protocol_says(part: frames.Part, wire: frames.Part) -> None:
    assert frames.decode(frames.encode(part)) == wire


@pytest.mark.parametrize(
    ("parts", "types"),
    [
        (frames.ending("completed"), ["finish-step", "finish"]),
        (frames.ending("failed", error_code="worker_lost", error_message="Lost."), ["error"]),
        (frames.ending("cancelled"), ["abort"]),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_each_terminal_status_ends_a_log_with_its_own_part(parts: list[frames.Part], types: list[str]) -> None:
    assert [part["type"] for part in parts] == types


def test_a_completed_answer_says_why_it_ended_and_what_it_took() -> None:
    finish = frames.ending("completed", finish_reason="length", usage={"totalTokens": 3})[-1]
    assert (finish["finishReason"], finish["messageMetadata"]) == ("length", {"usage": {"totalTokens": 3}})


def test_a_failed_answer_says_what_went_wrong() -> None:
    (error,) = frames.ending("failed", error_code="worker_lost", error_message="Lost.")
    assert (error["code"], error["errorText"]) == ("worker_lost", "Lost.")


def test_what_goes_out_besides_frames_is_legal_sse_and_no_event() -> None:
    assert frames.PING.startswith(b":")
    assert frames.OPENING.splitlines() == [b": open", b"retry: 1000", b""]
    assert frames.DONE == b"data: [DONE]\n\n"
