"""When a service wants to be asked again: the model's endpoint, or the web search."""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

MAX_WAIT: Final = 86_400.0
"""Seconds. Who names a later time means another day."""
MAX_WAIT_CHARS: Final = 100
"""A text that is longer is no wait."""
_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|µs|ns|[dhms])[a-z]*\s*")
_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_AGAIN: Final = re.compile(
    r"(?:try again|retry|wait)(?: in| after)?:? (?:about )?((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE
)
_EPOCH: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e12


def retry_after(headers: Mapping[str, str], message: str) -> float | None:
    """Seconds until the service may be asked again, from 0 to MAX_WAIT; None where it does not say.

    The header `Retry-After` goes before the message, and the message before the headers about single limits.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if len(milliseconds) <= MAX_WAIT_CHARS and _NUMBER.fullmatch(milliseconds):
        return _bounded(float(milliseconds) / 1000)
    named = _seconds(headers.get("retry-after", ""))
    if named is None and (found := _AGAIN.search(message)):
        named = _seconds(found[1])
    return _reset(headers) if named is None else named


def _reset(headers: Mapping[str, str]) -> float | None:
    """When the limits are reset: those that are used up, where the headers tell which; else the nearest."""
    used_up, others = list[float](), list[float]()
    for name, value in headers.items():
        lower = name.lower()
        if not lower.startswith(("x-ratelimit-reset", "ratelimit-reset")):
            continue
        wait = _seconds(value)
        if wait is not None:
            left = headers.get(lower.replace("-reset", "-remaining"), "")
            (used_up if left.strip() == "0" else others).append(wait)
    if used_up:
        return max(used_up)
    return min(others, default=None)


def _seconds(text: str) -> float | None:
    """The seconds of `7`, `7.5`, `7m12s`, `1h2m3.5s`, `120ms` or an HTTP date; None for anything else."""
    text = text.strip()
    if len(text) > MAX_WAIT_CHARS:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds > _EPOCH:  # a time instead of a wait
            seconds = seconds / 1000 if seconds > _EPOCH_MILLISECONDS else seconds
            seconds = max(0.0, seconds - time.time())
        return _bounded(seconds)
    parts = list(_PART.finditer(text.lower()))
    if parts and "".join(part[0] for part in parts) == text.lower():
        return _bounded(sum(float(part[1]) * _UNITS[part[2]] for part in parts))
    try:
        return _bounded(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bounded(seconds: float) -> float | None:
    return min(seconds, MAX_WAIT) if math.isfinite(seconds) else None
