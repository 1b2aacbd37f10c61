"""Event ids: what a client sends back is either exactly ours, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api import event_ids
from shared.ids import MAX_BIGINT, MessageId
from shared.streams.port import BEGINNING, Offset

message_ids = st.integers(1, MAX_BIGINT).map(MessageId)
offsets = st.just(BEGINNING) | st.builds(Offset, st.integers(1, 10**9 - 1), st.integers(1, 10**12 - 1))


@given(message_ids, offsets)
def test_a_client_that_sends_an_id_back_is_understood(message_id: MessageId, offset: Offset) -> None:
    line = event_ids.write(message_id, offset)
    assert line.startswith(b"id: ")
    assert line.endswith(b"\n")
    assert event_ids.read(line[4:-1].decode(), message_id) == offset


@given(message_ids, offsets)
def test_an_id_names_its_message(message_id: MessageId, offset: Offset) -> None:
    assert event_ids.message_of(event_ids.text(message_id, offset)) == message_id


def test_an_id_has_the_form_of_the_protocol() -> None:
    assert event_ids.write(MessageId(42), Offset(1, 2)) == b"id: 42:1-2\n"


@given(message_ids, message_ids, offsets)
def test_an_id_of_another_message_counts_as_none(ours: MessageId, theirs: MessageId, offset: Offset) -> None:
    told = event_ids.write(theirs, offset)[4:-1].decode()
    assert (event_ids.read(told, ours) is None) == (ours != theirs)


@given(st.text(st.sampled_from("0123456789:-+_. \n\u0663e")))
def test_only_the_canonical_spelling_is_an_id(text: str) -> None:
    found = event_ids.read(text, MessageId(1))
    assert found is None or event_ids.write(MessageId(1), found) == f"id: {text}\n".encode()


@pytest.mark.parametrize(
    "event_id",
    [
        None,
        "",
        "42",
        "42:",
        "42:1",
        "42:1-",
        "42:-1",
        "42:1-2 ",
        " 42:1-2",
        "42:1-2\n",
        "42:1-2-3",
        "42:01-2",
        "42:1-02",
        "042:1-2",
        "42:0-2",
        "42:1-0",
        "42:0-00",
        "42:+1-2",
        "42:1--2",
        "42:1.0-2",
        "-42:1-2",
        "42:1-2\0",
        "\u0664\u0662:\u0661-\u0662",
        "42:1-1_0",
        f"42:{10**9}-1",
        f"42:1-{10**12}",
        f"{MAX_BIGINT + 1}:1-1",
        "9" * 100_000 + ":1-1",
        "[object Object]",
    ],
)
def test_anything_else_counts_as_none(event_id: str | None) -> None:
    assert event_ids.read(event_id, MessageId(42)) is None
    assert event_ids.message_of(event_id) is None
