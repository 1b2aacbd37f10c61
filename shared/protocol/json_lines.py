"""JSON on one line, for every line splitter there is."""

import json
from typing import Any, Final

# They end no line in SSE, but they do for some clients' line splitters (Python's, for one); JSON lets them be escaped.
LINE_ENDS: Final = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def json_line(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The JSON of a value, without a line end.

    Raises:
        ValueError: a number that JSON does not have.

    """
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for end, escape in LINE_ENDS:
        if end in line:
            line = line.replace(end, escape)
    return line
