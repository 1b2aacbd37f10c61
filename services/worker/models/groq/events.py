"""From the bytes of a body to events: Server-Sent Events, or bare JSON where the endpoint did not stream."""

import json
from typing import Any, Final

import orjson

from services.worker.models.groq.refusals import WRONG_ADDRESS
from shared.errors import ModelBadResponse

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""An endpoint that sends more than this without ending an event is no model."""
MAX_JOINED_BYTES: Final = 64 * 1024
"""Of an event that comes on several lines."""
_FIELDS: Final = (b"id:", b"retry:", b":", b"id", b"retry")


class Events:
    """Reads one body, piece by piece. The pieces may end anywhere, also in a character.

    `is_done`: the endpoint said that nothing follows. `unreadable`: how many events were no JSON; they are skipped.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.unreadable = 0
        self._rest = bytearray()
        self._data = b""
        self._bare = bytearray()
        self._is_error = False
        self._ended_in_cr = False
        self._has_begun = False

    def read(self, piece: bytes) -> list[Any]:
        """The events that this piece completes, each any JSON value. An error has the form `{"error": …}`.

        Raises:
            ModelBadResponse: the body is a page for people, or an event has no end.

        """
        if b"\r" in piece or self._ended_in_cr:
            piece = self._with_plain_line_ends(piece)
        if self._rest or not piece.endswith(b"\n"):
            piece = self._whole_lines(piece)
        events: list[Any] = []
        lines = piece.split(b"\n")
        lines.pop()  # nothing: every line that is left here ends in a line end
        for line in lines:
            if line.startswith(b"data: {") and not (self._data or self._bare or self._is_error or self.is_done):
                # Nearly every line of nearly every body.
                try:
                    events.append(orjson.loads(line[6:]))
                except orjson.JSONDecodeError:
                    self._read_line(line, events)
            elif line or self._data or self._is_error:
                self._read_line(line, events)
        return events

    def _whole_lines(self, piece: bytes) -> bytes:
        """The lines that a piece completes; the rest waits."""
        self._rest += piece
        if b"\n" not in piece:
            if len(self._rest) > MAX_EVENT_BYTES:
                raise ModelBadResponse
            return b""
        lines, _, rest = bytes(self._rest).rpartition(b"\n")
        self._rest = bytearray(rest)
        return lines + b"\n"

    def end(self) -> list[Any]:
        """The events that the end of the body completes."""
        events: list[Any] = []
        if not self.is_done:
            self._read_line(bytes(self._rest), events)
            self._read_line(b"", events)
            self._end_bare(events)
        return events

    def _with_plain_line_ends(self, piece: bytes) -> bytes:
        if self._ended_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ended_in_cr = False
        if piece:
            self._ended_in_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read_line(self, line: bytes, events: list[Any]) -> None:
        if self.is_done:
            return
        if line.startswith(b"data:"):
            self._has_begun = True
            if self._bare:
                self._end_bare(events)
            self._read_data(line[5:].strip(), events)
        elif not line.strip():
            if self._data:
                self._skip(self._data, events)
            self._is_error = False
        else:
            self._read_other(line, events)

    def _read_data(self, text: bytes, events: list[Any]) -> None:
        if not text:
            return
        if text.strip(b'"').upper() == b"[DONE]":
            self.is_done = True
            return
        try:
            value = _json(text)
        except (ValueError, RecursionError):
            value = None
            # An event may have several lines, which belong together.
            if self._data and len(self._data) + len(text) < MAX_JOINED_BYTES:
                text = self._data + b"\n" + text
                try:
                    value = _json(text)
                except (ValueError, RecursionError):
                    value = None
            elif self._data:
                self._skip(self._data, events)
            if value is None:
                self._data = text
                return
            self._data = b""
        if self._data:
            self._skip(self._data, events)
        events.append(_as_error(value) if self._is_error else value)

    def _read_other(self, line: bytes, events: list[Any]) -> None:
        if line.startswith(b"event:"):
            self._has_begun = True
            self._is_error = line[6:].strip() == b"error"
            return
        line = line.strip()
        if not self._has_begun:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith(b"data:"):
                self._read_line(line, events)
                return
            if line.startswith(b"<"):
                raise ModelBadResponse(WRONG_ADDRESS)
        if line.startswith(_FIELDS):
            return
        self._has_begun = True
        if line.upper() == b"[DONE]":
            self.is_done = True
        elif self._bare or line.startswith((b"{", b"[")):
            self._read_bare(line, events)
        else:
            self.unreadable += 1

    def _read_bare(self, line: bytes, events: list[Any]) -> None:
        """Read JSON without `data:`, on a line or on several."""
        if not self._bare:
            try:
                events.append(_bare_event(_json(line)))
            except (ValueError, RecursionError):
                self._bare += line
            return
        self._bare += b"\n" + line
        if len(self._bare) > MAX_EVENT_BYTES:
            raise ModelBadResponse

    def _end_bare(self, events: list[Any]) -> None:
        if not self._bare:
            return
        text, self._bare = bytes(self._bare), bytearray()
        try:
            events.append(_bare_event(_json(text)))
        except (ValueError, RecursionError):
            self.unreadable += 1

    def _skip(self, text: bytes, events: list[Any]) -> None:
        """Pass over data that is no JSON; as an error event it is the error's message."""
        self._data = b""
        if self._is_error:
            events.append({"error": text.decode(errors="replace")})
        else:
            self.unreadable += 1


def _json(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.

    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Slower, but reads the halves of characters that JSON and cut UTF-8 have, and tabs within texts.
        return json.loads(text.decode("utf-8", "surrogateescape"), strict=False)


def _as_error(value: object) -> object:
    return value if isinstance(value, dict) and value.get("error") else {"error": value or "error"}


def _bare_event(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A body that is no stream: a whole answer, or an error."""
    if isinstance(value, dict) and "choices" not in value and value.keys() & {"detail", "message", "errors"}:
        return _as_error(value)
    return value
