"""A body of the AI SDK is read in pieces, and only what is needed of it is kept."""

import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.bodies import NotJson
from services.api.doors.ai_sdk import body
from services.api.doors.ai_sdk.body import read_body
from shared.errors import PayloadTooLarge, UnsupportedMediaType

KNOWN = ("id", "messages", "trigger", "model")
CHARS = 50

texts = st.text(max_size=CHARS // 2) | st.sampled_from(['"', "\\", '\\"', "é\U0001f600", "]}", "\x00"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(KNOWN) | texts, values | st.lists(values, max_size=5), max_size=6)


async def read(raw: bytes, cuts: Sequence[int] = (), text_chars: int = CHARS) -> tuple[dict[str, Any], int]:
    """Read a body that comes in pieces."""
    bounds = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]

    async def pieces() -> AsyncIterator[bytes]:
        for begin, end in pairwise(bounds):
            yield raw[begin:end]

    return await read_body(pieces(), KNOWN, text_chars)


@given(bodies, st.lists(st.integers(0, 300), max_size=8), st.booleans(), st.sampled_from([None, 2]))
async def test_what_is_kept_is_what_a_json_parser_finds(
    sent: dict[str, Any], cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(sent, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found, last = await read(raw, cuts)
    expected = {name: value for name, value in sent.items() if name in KNOWN}
    if isinstance(messages := expected.get("messages"), list):
        expected["messages"] = messages[-1:]
        assert last == len(messages) - 1
    assert found == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"[]", b'"a"', b"1", b"{", b'{"id"', b'{"id":1', b'{"id":}', b'{"id":1]', b'{"id" 1}', b'{"id":"\xff"}',
        b'{"id":1}}', b'{"id":1} x', b'x{"id":1}', b'{"id":tru}', b"{1:2}", b'{"messages":[{]}', b'{"messages":[1 2]}',
        b'{"id":"a" "b"}', b'{"a":"b', b'{"id":1}{"id":2}', b'{"messages":' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"id":' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
async def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        await read(raw)


@pytest.mark.parametrize("twice", ["id", "messages", "text"])
async def test_a_member_that_is_kept_and_is_there_twice_is_refused_by_name(twice: str) -> None:
    raw = {
        "id": b'"id":"a","id":"b"',
        "messages": b'"messages":[1],"messages":[4]',
        "text": b'"id":[{"text":1,"text":2}]',
    }
    with pytest.raises(NotJson) as refused:
        await read(b"{%b}" % raw[twice])
    assert refused.value.member == twice


@pytest.mark.parametrize("begins", range(1, 5))
@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf{}", '{"id":1}'.encode("utf-16"), '{"id":1}'.encode("utf-32-le")])
async def test_a_text_that_is_not_plain_utf_8_is_refused_for_its_type(raw: bytes, begins: int) -> None:
    with pytest.raises((UnsupportedMediaType, NotJson)):
        await read(raw, [begins])
    with pytest.raises(UnsupportedMediaType):
        await read(raw)


async def test_a_text_that_is_too_long_stays_too_long() -> None:
    found, _ = await read(json.dumps({"messages": [{"text": "a" * 10_000, "id": "m"}]}).encode(), range(0, 9000, 7))
    assert found == {"messages": [{"text": "x" * (CHARS + 1), "id": "m"}]}


async def test_a_text_that_is_just_short_enough_is_kept_whole_in_any_writing() -> None:
    for text in ("\U0001f600" * CHARS, "é" * CHARS, "\n" * CHARS):
        for ascii_only in (True, False):
            raw = json.dumps({"id": text}, ensure_ascii=ascii_only).encode()
            assert await read(raw) == ({"id": text}, -1)


async def test_files_of_earlier_messages_take_no_room() -> None:
    file = {"role": "user", "parts": [{"type": "file", "url": "data:image/png;base64," + "A" * 2_000_000}]}
    raw = json.dumps({"messages": [*[file] * 10, {"id": "m"}], "other": "B" * 2_000_000}).encode()
    pieces = range(0, len(raw), 65_536)
    tracemalloc.start()
    try:
        found = await read(raw, pieces, text_chars=32_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == ({"messages": [{"id": "m"}]}, 10)
    assert peak < 3_000_000


async def test_a_last_message_of_countless_parts_is_refused() -> None:
    parts = [{"type": "text", "text": "a" * 40}] * 100_000
    with pytest.raises(PayloadTooLarge):
        await read(json.dumps({"messages": [{"parts": parts}]}).encode())


async def test_a_body_of_countless_values_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        await read(b'{"other":[' + b"[]," * body.MAX_MARKS + b"1]}")


async def test_nothing_in_a_large_body_keeps_the_event_loop_for_long() -> None:
    reader = body._Reader(KNOWN, 32_000)
    worst = 0.0
    for piece in (b'{"messages":["', *[b"\\n" * 8192] * 600, b'",', *[b"[]," * 5400] * 50):
        began = time.process_time()
        reader.feed(piece)
        worst = max(worst, time.process_time() - began)
    assert worst < 0.5
