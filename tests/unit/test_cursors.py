"""Cursors: a place in an order, and nothing that a client made up."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api import cursors
from shared.errors import CursorInvalid
from shared.ids import MAX_BIGINT

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


@given(times, st.integers(1, MAX_BIGINT))
def test_a_cursor_is_read_as_it_was_written(at: datetime, row_id: int) -> None:
    assert cursors.read(cursors.write(at, row_id), cursors.number) == (at, row_id)


@given(times, st.integers(1, MAX_BIGINT))
def test_a_cursor_fits_into_a_url_as_it_is(at: datetime, row_id: int) -> None:
    cursor = cursors.write(at, row_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert cursor.isascii()
    assert len(cursor) <= 200


def encoded(text: str) -> str:
    """A cursor that holds this text."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "====",
        "%00",
        "\0",
        "ü",
        "\ud800",
        encoded(""),
        encoded("now/1"),
        encoded(NOW.isoformat()),
        encoded(f"{NOW.isoformat()}/"),
        encoded(f"{NOW.isoformat()}/x"),
        encoded(f"{NOW.isoformat()}/0"),
        encoded(f"{NOW.isoformat()}/-1"),
        encoded(f"{NOW.isoformat()}/{MAX_BIGINT + 1}"),
        encoded(f"{NOW.isoformat()}/{'9' * 5000}"),
        encoded(f"{NOW.isoformat()}/1/2"),
        encoded(f"{NOW.isoformat()}/ 1"),
        encoded(f"{NOW.isoformat()}/1_0"),
        encoded(f"{NOW.replace(tzinfo=None).isoformat()}/1"),
        encoded("2026-01-02T03:04:05+23:59/1"),
        encoded("0001-01-01T00:00:00+14:00/1"),
        encoded("2026-W01-1T00:00:00+00:00/1"),
        encoded("10000-01-01T00:00:00+00:00/1"),
        cursors.write(NOW, 1) + "!",
        "!" + cursors.write(NOW, 1),
        cursors.write(NOW, 1) + "=",
    ],
)
def test_what_this_api_did_not_make_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(CursorInvalid) as refused:
        cursors.read(cursor, cursors.number)
    assert refused.value.field == "cursor"


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        place = cursors.read(text, cursors.number)
    except CursorInvalid:
        return
    assert cursors.write(*place) == text
