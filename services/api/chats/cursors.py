"""Cursors: where a page of a list begins. They are opaque to clients."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from shared.errors import CursorInvalid
from shared.ids import MAX_BIGINT


def write(at: datetime, row_id: int) -> str:
    """The cursor of a row in a list that is ordered by (time, id)."""
    return urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()}/{row_id}".encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[datetime, int]:
    """The (time, id) of a cursor.

    Raises:
        CursorInvalid: the text is no cursor that `write` made.

    """
    try:
        at, _, row_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition("/")
        place = datetime.fromisoformat(at), int(row_id)
    except (ValueError, binascii.Error) as error:
        raise CursorInvalid(field="cursor") from error
    # Python reads several spellings of base64, times and numbers. A cursor has only one.
    if place[0].tzinfo != UTC or not 0 < place[1] <= MAX_BIGINT or write(*place) != cursor:
        raise CursorInvalid(field="cursor")
    return place
