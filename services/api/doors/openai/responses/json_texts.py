"""The JSON of what a tool was called with, and of what it gave, as a text: the same from the log and from the row.

The log has it as it was written. The row's jsonb keeps neither the order of members nor the notation of numbers.
"""

import json
from decimal import Decimal
from typing import Any


def json_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The JSON of a value, its members by name and its numbers as jsonb writes them."""
    return json.dumps(_kept(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _kept(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A value as it comes back from jsonb."""
    match value:
        case dict():
            return {name: _kept(member) for name, member in value.items()}
        case list():
            return [_kept(item) for item in value]
        case float() if value == 0:
            return 0.0  # which has no sign there
        case float() if "e+" in repr(value):
            return int(Decimal(repr(value)))
        case _:
            return value
