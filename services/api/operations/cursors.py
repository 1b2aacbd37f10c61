"""Cursors of the lists of operations and of audit entries. They are opaque to clients."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID

from shared.errors import CursorInvalid
from shared.ids import MAX_BIGINT


def write(at: datetime, operation_id: UUID) -> str:
    """The cursor of an operation in a list that is ordered by (time, id)."""
    return urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()}/{operation_id}".encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[datetime, UUID]:
    """The (time, id) of a cursor.

    Raises:
        CursorInvalid: the text is no cursor that `write` made.

    """
    try:
        at, _, operation_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition("/")
        place = datetime.fromisoformat(at), UUID(operation_id)
    except (ValueError, binascii.Error) as error:
        raise CursorInvalid(field="cursor") from error
    # Python reads several spellings of base64, times and ids. A cursor has only one.
    if place[0].tzinfo != UTC or write(*place) != cursor:
        raise CursorInvalid(field="cursor")
    return place


def read_number(cursor: str) -> int:
    """The number of the audit entry that a cursor stands for.

    Raises:
        CursorInvalid: the text is no such number.

    """
    if not (cursor.isascii() and cursor.isdecimal()) or not 0 < int(cursor) <= MAX_BIGINT or str(int(cursor)) != cursor:
        raise CursorInvalid(field="cursor")
    return int(cursor)
