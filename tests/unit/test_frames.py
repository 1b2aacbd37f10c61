"""Frames: one intact SSE event each, whatever the texts in them hold."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import ModelTimeout
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.encoding import DONE, OPENING, PING, clean, decode, encode, encode_all
from shared.protocol.frames import Frame
from shared.protocol.json_lines import json_line
from shared.protocol.sizes import MAX_LINE_BYTES
from shared.protocol.transcript import read
from shared.token_usage import TokenUsage

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
USAGE = TokenUsage(1, 2, 3)
WIRE_USAGE = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}
GENERATION = GenerationId(UUID("0198c0de-0000-7000-8000-000000000001"))


@given(texts)
@example("".join(NASTY))
@example("data: {}\n\ndata: [DONE]\n\n")
def test_a_frame_is_one_data_line_for_every_line_splitter(text: str) -> None:
    frame = encode(frames.text_delta("0", text))
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert (frame.count(b"\n"), frame.count(b"\r")) == (2, 0)
    assert len(frame.decode().splitlines()) == 2


@given(texts, texts)
def test_decoding_gives_back_what_was_encoded(text: str, key: str) -> None:
    frame = frames.tool_output("call", {key: text, "nested": [text, None, 1.5, True]})
    assert decode(encode(frame)) == frame


def test_a_very_long_text_is_still_one_line() -> None:
    text = "ä\u2028\n" * 1_000_000
    encoded = encode(frames.text_delta("0", text))
    assert encoded.count(b"\n") == 2
    assert decode(encoded) == frames.text_delta("0", text)


long_texts = st.builds(lambda text, times: text * times, texts, st.integers(1, 3_000))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | long_texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@given(st.lists(long_texts, min_size=1, max_size=3), st.sampled_from(["text", "reasoning"]))
@example(["\x07" * 10_000], "text")
@example(["\u2028" * 10_000, "😀" * 10_000], "reasoning")
def test_the_frames_of_a_long_text_are_short_and_say_the_same(said: list[str], kind: str) -> None:
    delta = frames.reasoning_delta if kind == "reasoning" else frames.text_delta
    written: list[Frame] = [delta(str(number), text) for number, text in enumerate(said)]
    encoded = encode_all([frames.start_step(), *written])
    assert max(map(len, encoded)) <= MAX_LINE_BYTES
    told = [decode(frame) for frame in encoded]
    assert told[0] == frames.start_step()
    for number, text in enumerate(said):
        pieces: list[str] = [piece["delta"] for piece in told[1:] if piece["id"] == str(number)]  # type: ignore[typeddict-item]
        assert "".join(pieces) == text
    assert read(encoded).text == ("" if kind == "reasoning" else "".join(said))


@given(json_values)
@example([{"title": "t" * 200, "url": "https://example.com/" + "u" * 1_900}] * 20)
@example({"a": ["\u2029" * 100_000]})
@example([["x"] * 300] * 100)
def test_what_a_tool_gave_is_one_short_line(value: Any) -> None:  # noqa: ANN401
    whole = frames.tool_output("call", value)
    assert len(encode(whole)) <= MAX_LINE_BYTES
    assert len(encode(frames.tool_input("call", "tool", {"value": value}))) <= MAX_LINE_BYTES
    if len(json_line(value)) < 2_000:
        assert whole["output"] == value


def test_of_many_results_the_first_ones_stay_whole() -> None:
    results = [{"title": "t", "url": f"https://example.com/{number}/{'u' * 1_900}"} for number in range(20)]
    assert frames.tool_output("call", {"results": results})["output"] == {"results": results[:5]}


def test_what_is_no_text_is_refused_instead_of_sent_broken() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(frames.text_delta("0", "\ud800"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_refused_instead_of_sent_broken(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(frames.tool_output("call", value))


@given(any_code_points)
@example("\ud83d\ude00")
@example("a\0b")
def test_clean_text_can_be_stored_and_sent(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned


@given(texts.filter(lambda text: "\0" not in text))
def test_cleaning_leaves_good_text_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("code", [0x0000, 0xD800, 0xDBFF, 0xDC00, 0xDFFF], ids=hex)
def test_each_character_that_can_not_be_kept_becomes_one_replacement_character(code: int) -> None:
    assert clean(f"ä{chr(code)}b{chr(code)}{chr(code)}") == "ä\ufffdb\ufffd\ufffd"


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            frames.start(MessageId(42), GENERATION, user_message_id=MessageId(41), chat_id=ChatId(7)),
            {
                "type": "start",
                "messageId": "42",
                "messageMetadata": {"generationId": str(GENERATION), "userMessageId": "41", "chatId": "7"},
            },
        ),
        (frames.start_step(), {"type": "start-step"}),
        (frames.finish_step(), {"type": "finish-step"}),
        (frames.text_start("0"), {"type": "text-start", "id": "0"}),
        (frames.text_delta("0", "hi"), {"type": "text-delta", "id": "0", "delta": "hi"}),
        (frames.text_end("0"), {"type": "text-end", "id": "0"}),
        (frames.reasoning_start("r"), {"type": "reasoning-start", "id": "r"}),
        (frames.reasoning_delta("r", "hm"), {"type": "reasoning-delta", "id": "r", "delta": "hm"}),
        (frames.reasoning_end("r"), {"type": "reasoning-end", "id": "r"}),
        (frames.retry(2), {"type": "data-retry", "data": {"attempt": 2}, "transient": True}),
        (frames.title("T"), {"type": "data-title", "data": {"title": "T"}, "transient": True}),
        (frames.finish("stop"), {"type": "finish", "finishReason": "stop"}),
        (
            frames.finish("length", USAGE),
            {"type": "finish", "finishReason": "length", "messageMetadata": {"usage": WIRE_USAGE}},
        ),
    ],
    ids=lambda part: str(part["type"]),
)
def test_a_part_looks_on_the_wire_as_the_protocol_says(part: Frame, wire: Frame) -> None:
    assert decode(encode(part)) == wire


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (
            Outcome.completed("length", USAGE),
            [
                {"type": "finish-step"},
                {"type": "finish", "finishReason": "length", "messageMetadata": {"usage": WIRE_USAGE}},
            ],
        ),
        (
            Outcome.failed(ModelTimeout("Too late."), USAGE),
            [
                {"type": "data-error", "id": "error", "data": {"code": "model_timeout", "message": "Too late."}},
                {"type": "error", "errorText": "Too late."},
            ],
        ),
        (
            Outcome.cancelled(),
            [{"type": "message-metadata", "messageMetadata": {"status": "cancelled"}}, {"type": "abort"}],
        ),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_each_outcome_ends_a_log_with_its_own_frames(outcome: Outcome, ending: list[Frame]) -> None:
    assert outcome.frames() == ending


def test_what_goes_out_besides_frames_is_legal_sse_and_no_event() -> None:
    assert PING == b": ping\n"
    assert OPENING.splitlines() == [b": open", b"retry: 1000"]
    assert DONE == b"data: [DONE]\n\n"
