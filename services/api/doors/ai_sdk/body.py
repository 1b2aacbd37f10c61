"""Reading a body of which most is not needed: an SDK sends the whole chat each time, with its files as data URLs.

What is kept is bounded, however long the body is: the known members, and of `messages` the last element. All else is
skipped as it comes. A body is read in slices, and the event loop does other work in between: a JSON parser would hold
the interpreter for as long as it parses, on any thread.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection
from enum import Enum, auto
from typing import Any, Final

from services.api.bodies import ENOUGH_TO_TELL, NotJson, insist_on_utf_8, read_json
from shared.errors import PayloadTooLarge, UnsupportedMediaType

SLICE: Final = 16 * 1024
"""Bytes that are read at a time. The worst of them take 10 ms."""
MAX_DEPTH: Final = 200
MAX_MARKS: Final = 1_000_000
"""Quotes, brackets, commas and colons of one body. So many take a second; a chat of 10,000 messages has half of them."""
BYTES_A_CHARACTER: Final = 12
"""What a character takes at most in JSON: two escapes."""
LEAST_ROOM: Final = 1024 * 1024
MESSAGES: Final = "messages"

_PLAIN: Final = re.compile(rb'[^"{}\[\],:]*+')
_WITHIN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_CLOSING: Final = {b"}": ord("{"), b"]": ord("[")}


async def read_body(
    chunks: AsyncIterator[bytes], known: Collection[str], text_chars: int
) -> tuple[dict[str, Any], int]:
    """The known members of a JSON object, and the index of its last message, -1 without messages.

    `messages` has its last element only. A string that can't be a text of at most `text_chars` characters becomes another
    string that is too long, so that files take no room.

    Raises:
        NotJson: what is kept is no JSON, or the body is no object or has a known member twice, or its brackets don't match.
        UnsupportedMediaType: the body is no UTF-8, or has a byte order mark.
        PayloadTooLarge: what would have to be kept is too large, or the body has too many values.

    """
    reader, beginning = _Reader(known, text_chars), b""
    async for chunk in chunks:
        if len(beginning) < ENOUGH_TO_TELL:
            beginning += chunk[:ENOUGH_TO_TELL]
            insist_on_utf_8(beginning)
        for begin in range(0, len(chunk), SLICE):
            reader.feed(chunk[begin : begin + SLICE])
            await asyncio.sleep(0)
    return reader.end()


class _Expected(Enum):
    """What the body's own object goes on with."""

    OBJECT = auto()
    NAME = auto()
    COLON = auto()
    VALUE = auto()
    NOTHING = auto()


class _Reader:
    """Finds the members of an object that comes in pieces.

    `_open` are the brackets that are open, `_kept` is what is kept of the member that is being read (None where nothing
    is), `_string_from` where the string begins in it that is being read.
    """

    def __init__(self, known: Collection[str], text_chars: int) -> None:
        self._known = known
        self._stand_in = b"x" * (text_chars + 1)
        self._longest = text_chars * BYTES_A_CHARACTER + 1  # with its first quote
        self._room = max(LEAST_ROOM, 2 * self._longest)
        self._members: dict[str, bytes] = {}
        self._expected = _Expected.OBJECT
        self._open = bytearray()
        self._marks = 0
        self._name = ""
        self._kept: bytearray | None = None
        self._is_too_large = False
        self._in_string = self._is_escaped = self._is_cut = False
        self._string_from = 0
        self._in_messages = False
        self._messages = 0

    def feed(self, piece: bytes) -> None:
        """Read on. Raises as `read_body`."""
        at = 0
        while at < len(piece):
            at = self._read_string(piece, at) if self._in_string else self._read_between(piece, at)

    def end(self) -> tuple[dict[str, Any], int]:
        """What was found. Raises as `read_body`."""
        if self._expected is not _Expected.NOTHING:
            raise NotJson
        try:
            members = {name: read_json(kept) for name, kept in self._members.items()}
        except UnsupportedMediaType:  # what is kept of a body in UTF-8 begins like another encoding: no JSON does
            raise NotJson from None
        return members, self._messages - 1

    def _keep(self, read: bytes) -> None:
        if self._kept is None or self._is_too_large or self._is_cut:
            return
        self._kept += read
        if self._in_string and len(self._kept) - self._string_from > self._longest:
            self._kept[self._string_from :] = b'"' + self._stand_in
            self._is_cut = True
        if len(self._kept) > self._room:
            self._is_too_large = True
            self._kept.clear()

    def _read_string(self, piece: bytes, at: int) -> int:
        """Read the inside of a string, up to its closing quote or the end of the piece. Returns where that is."""
        begin = at
        if self._is_escaped:
            at, self._is_escaped = at + 1, False
        found = _WITHIN_STRING.match(piece, at)
        at = found.end() if found else at
        if piece[at : at + 1] == b"\\":  # the piece ends between the escape and what it escapes
            self._is_escaped = True
            at += 1
        self._keep(piece[begin:at])
        if at < len(piece):
            self._is_cut = self._in_string = False
            self._keep(b'"')
            if self._expected is _Expected.NAME:
                self._end_name()
            return at + 1
        return at

    def _read_between(self, piece: bytes, at: int) -> int:
        """Read what is between strings, up to the next mark, and the mark. Returns where the mark ends."""
        found = _PLAIN.match(piece, at)
        end = found.end() if found else at
        if plain := piece[at:end].strip(b" \t\r\n"):
            self._insist(self._expected is _Expected.VALUE)
            self._keep(plain)
        if end == len(piece):
            return end
        self._marks += 1
        if self._marks > MAX_MARKS:
            raise PayloadTooLarge
        match mark := piece[end : end + 1]:
            case b'"':
                self._begin_string()
            case b"{" | b"[":
                self._begin(mark)
            case b"}" | b"]":
                self._end(mark)
            case b"," | b":" if len(self._open) <= 1:
                self._separate_members(mark)
            case b"," if self._in_messages and len(self._open) == 2:  # noqa: PLR2004 - the object and its array
                self._begin_message()
            case _:
                self._keep(mark)
        return end + 1

    def _begin_string(self) -> None:
        self._insist(self._expected in {_Expected.NAME, _Expected.VALUE})
        if self._expected is _Expected.NAME:
            self._kept, self._is_too_large = bytearray(), False
        self._string_from = len(self._kept or b"")
        self._in_string = True
        self._keep(b'"')

    def _end_name(self) -> None:
        try:
            self._name = json.loads(bytes(self._kept or b"").decode())
        except ValueError as error:
            raise NotJson from error
        self._expected = _Expected.COLON

    def _begin(self, mark: bytes) -> None:
        if self._expected is _Expected.OBJECT and mark == b"{":
            self._expected = _Expected.NAME
        else:
            self._insist(self._expected is _Expected.VALUE and len(self._open) < MAX_DEPTH)
            if mark == b"[" and len(self._open) == 1 and self._name == MESSAGES and not self._kept:
                self._in_messages, self._messages = True, 0
            else:
                self._keep(mark)
        self._open += mark

    def _end(self, mark: bytes) -> None:
        self._insist(bool(self._open) and self._open.pop() == _CLOSING[mark])
        if not self._open:
            if self._expected is _Expected.VALUE:
                self._end_member()
            self._expected = _Expected.NOTHING
        elif self._in_messages and len(self._open) == 1:
            self._in_messages = False
            if self._kept or self._is_too_large:
                self._messages += 1
            if self._kept is not None:
                self._kept[:] = b"[%b]" % bytes(self._kept)
        else:
            self._keep(mark)

    def _begin_message(self) -> None:
        self._messages += 1
        self._kept = None if self._kept is None else bytearray()
        self._is_too_large = False

    def _separate_members(self, mark: bytes) -> None:
        if mark == b":":
            self._insist(self._expected is _Expected.COLON)
            self._kept = bytearray() if self._name in self._known else None
            self._is_too_large = False
            self._expected = _Expected.VALUE
        else:
            self._insist(self._expected is _Expected.VALUE)
            self._end_member()
            self._expected = _Expected.NAME

    def _end_member(self) -> None:
        if self._is_too_large:
            raise PayloadTooLarge
        if self._kept is not None:
            if self._name in self._members:
                raise NotJson("must be there only once", kind="member_repeated", member=self._name)
            self._members[self._name] = bytes(self._kept)
        self._kept = None

    def _insist(self, holds: bool) -> None:
        if not holds:
            raise NotJson
