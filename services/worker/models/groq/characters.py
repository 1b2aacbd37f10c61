"""Characters that come in halves: a chunk may end between the two surrogates of an emoji, or within its UTF-8 bytes."""

import codecs
import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTES: Final = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
"""What `surrogateescape` makes of bytes that are no UTF-8. After a high surrogate it is the low one of a pair."""
_HIGH: Final = ("\ud800", "\udbff")


class Characters:
    """Joins the halves of characters over the chunks of one text. A half that stays alone goes out at the end."""

    def __init__(self) -> None:
        self._rest = ""

    @property
    def is_waiting(self) -> bool:
        """Whether the beginning of a character waits."""
        return bool(self._rest)

    def join(self, text: str) -> str:
        """The text with whole characters. What may be the beginning of a character waits for the next chunk."""
        if not self._rest and (text.isascii() or not _HALF.search(text)):
            return text
        if not text:
            return ""
        text, self._rest = self._rest + text, ""
        if _HIGH[0] <= text[-1] <= _HIGH[1]:
            text, self._rest = text[:-1], text[-1]
            return _joined(text)
        cut = _ESCAPED_BYTES.search(text, max(0, len(text) - 3))
        if cut and cut.end() == len(text):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            decoder.decode(_bytes(cut[0]))
            waiting = len(decoder.getstate()[0])
            if waiting:
                text, self._rest = text[:-waiting], text[-waiting:]
        return _joined(text)

    def end(self) -> str:
        """What still waits."""
        rest, self._rest = self._rest, ""
        return _joined(rest)


def _bytes(escaped: str) -> bytes:
    return bytes(ord(character) - 0xDC00 for character in escaped)


def _joined(text: str) -> str:
    text = _ESCAPED_BYTES.sub(lambda found: _bytes(found[0]).decode("utf-8", "replace"), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
