"""Cursors: where a page of a list begins. They are opaque to clients."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from shared.errors import CursorInvalid
from shared.ids import MAX_BIGINT

_NUMBER: Final = re.compile("[1-9][0-9]{0,18}", re.ASCII)

Id = TypeVar("Id", int, UUID)


def write(at: datetime, row_id: int | UUID) -> str:
    """The cursor of a row in a list that is ordered by (time, id)."""
    return urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()}/{row_id}".encode()).decode().rstrip("=")


def read(cursor: str, read_id: Callable[[str], Id]) -> tuple[datetime, Id]:
    """The (time, id) of a cursor. `read_id` makes an id of a text, or raises ValueError: `number`, or UUID.

    Raises:
        CursorInvalid: the text is no cursor that `write` made.

    """
    try:
        at, _, row_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition("/")
        place = datetime.fromisoformat(at), read_id(row_id)
    except (ValueError, binascii.Error) as error:
        raise CursorInvalid(field="cursor") from error
    # Python reads several spellings of base64, times and ids. A cursor has only one.
    if place[0].tzinfo != UTC or write(*place) != cursor:
        raise CursorInvalid(field="cursor")
    return place


def number(text: str) -> int:
    """A number that a row may have, from 1. A cursor that is nothing but a number stands for such a row, too.

    Raises:
        CursorInvalid: this is none, or not in its usual spelling.

    """
    if not _NUMBER.fullmatch(text) or int(text) > MAX_BIGINT:
        raise CursorInvalid(field="cursor")
    return int(text)
