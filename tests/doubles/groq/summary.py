"""What the double says when it is asked to summarize: the beginning of each message, as a dutiful model would."""

import json
import re
from typing import Any, Final

LINE: Final = re.compile(r"^The (messages|summaries): (\[.*\])$", re.MULTILINE)
SAID_CHARS: Final = 70


def summary_of(request: str) -> str | None:
    """Return the answer to a request for a summary of messages, or of two summaries; None when it is neither."""
    found = LINE.search(request)
    if found is None:
        return None
    quoted: list[dict[str, Any]] = json.loads(found[2])
    if found[1] == "summaries":
        return " ".join(one["text"][: len(one["text"]) // 2] for one in quoted)
    said = " ".join(f"{one['text'][:SAID_CHARS].strip()}." for one in quoted)
    return json.dumps({"summary": said, "facts": [], "forget": []}, ensure_ascii=False)
