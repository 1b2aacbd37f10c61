"""How long the lines of a stream are. Line readers of some languages take 64 KB by default; no line of ours is over 16 KB.

A long text becomes several deltas (encoding.py). What tools were given and what they gave is shortened, since each is one
frame (frames.py). Source: docs/protocol.md §2.
"""

from typing import Any, Final

from shared.protocol.json_lines import json_line

MAX_LINE_BYTES: Final = 16_384
MAX_DELTA_CHARS: Final = 2_600
"""Of one delta. A character takes at most 6 bytes, as an escape."""
MAX_TEXT_CHARS: Final = 2_000
"""Of any other text in a frame."""
MAX_VALUE_BYTES: Final = 14_000
"""Of a tool's input or output, as JSON."""
_ITEMS: Final = (100, 50, 20, 10, 5, 2, 1)
_CHARS: Final = (MAX_TEXT_CHARS, 500, 100)


def shortened(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A JSON value that takes at most MAX_VALUE_BYTES. One that does so already stays as it is.

    Lists and objects lose their last members, and then long texts their ends. Of a value that is too large even so, nothing
    is left but None.
    """
    if _size(value) <= MAX_VALUE_BYTES:
        return value
    for chars in _CHARS:
        for items in _ITEMS:
            shorter = _cut(value, items, chars)
            if _size(shorter) <= MAX_VALUE_BYTES:
                return shorter
    return None


def cut_text(text: str, chars: int = MAX_TEXT_CHARS) -> str:
    """A text of at most so many characters; the last one says that something is missing."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _size(value: Any) -> int:  # noqa: ANN401
    return len(json_line(value).encode(errors="surrogatepass"))


def _cut(value: Any, items: int, chars: int) -> Any:  # noqa: ANN401
    match value:
        case str():
            return cut_text(value, chars)
        case list():
            return [_cut(item, items, chars) for item in value[:items]]
        case dict():
            return {cut_text(key, chars): _cut(item, items, chars) for key, item in list(value.items())[:items]}
        case _:
            return value
