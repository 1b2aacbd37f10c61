"""One spelling of a JSON value, so that a digest of the value can be compared."""

import json
from hashlib import sha256
from typing import Any


def canonical(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The value in UTF-8, its keys in order, without spaces. Numbers are written as Python writes them."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest_of(preview: Any) -> str:  # noqa: ANN401 - any JSON value
    """The SHA-256 of what a person is shown, in hexadecimal. Whoever approves an operation names it."""
    return sha256(canonical(preview)).hexdigest()
