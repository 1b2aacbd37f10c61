"""Which settings contradict each other: each is in its range, and one of the two can't hold."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

MIN_PROMPT_TOKENS: Final = 512
"""What a context has to hold besides the longest reply, for the system prompt, the memory and the question."""
MAX_BYTES_PER_CHAR: Final = 12
"""A character in JSON: two escapes of six bytes, as clients write an emoji that escape all that is not ASCII."""
REST_OF_BODY_BYTES: Final = 1024
CHARS_PER_TOKEN: Final = 4
"""Of English. Other scripts take more tokens; the summary is then cut to its share."""


class Bound(NamedTuple):
    """One setting is at most what another allows, or, if it `must_be_less`, under it.

    `is_moot`: the default may exceed the other setting, since the other limit is reached first.
    """

    setting: str
    other: str
    reason: str
    must_be_less: bool = False
    is_moot: bool = False


BOUNDS: Final = (
    Bound(
        "model_read_timeout_seconds",
        "generation_timeout_seconds",
        "the whole reply would be given up before",
        is_moot=True,
    ),
    Bound(
        "search_timeout_seconds", "generation_timeout_seconds", "the whole reply would be given up before", is_moot=True
    ),
    Bound(
        "model_read_timeout_seconds",
        "stream_ttl_seconds",
        "a silent model's stream would be gone before",
        must_be_less=True,
    ),
    Bound("search_timeout_seconds", "stream_ttl_seconds", "the stream would be gone before", must_be_less=True),
    Bound(
        "lease_seconds",
        "stream_ttl_seconds",
        "a lost reply's stream would be gone before it goes on",
        must_be_less=True,
    ),
    Bound("sweep_interval_seconds", "lease_seconds", "a lost reply would wait longer than the lease says"),
    Bound("checkpoint_interval_seconds", "lease_seconds", "a lost reply's text would be older than the lease says"),
)


def find_contradiction(values: Mapping[str, Any], given: Collection[str]) -> str | None:
    """What contradicts what, naming both settings; None where all fit together.

    `values` are all settings, `given` the names of those that are not defaults.
    """
    for bound in BOUNDS:
        one, other = values[bound.setting], values[bound.other]
        if bound.is_moot and bound.setting not in given:
            continue
        if one > other or (bound.must_be_less and one == other):
            than = "less than" if bound.must_be_less else "at most"
            limit = f"{bound.other.upper()}, which is {other:g}"
            return f"{bound.setting.upper()}: must be {than} {limit}: {bound.reason}"
    for find in _OTHERS:
        if found := find(values, given):
            return found
    return None


def _body(values: Mapping[str, Any], _given: Collection[str]) -> str | None:
    least = values["message_max_chars"] * MAX_BYTES_PER_CHAR + REST_OF_BODY_BYTES
    if values["max_body_bytes"] >= least:
        return None
    most = max(0, values["max_body_bytes"] - REST_OF_BODY_BYTES) // MAX_BYTES_PER_CHAR
    return (
        f"MESSAGE_MAX_CHARS: must be at most {most}, or MAX_BODY_BYTES at least {least}: a character may take "
        f"{MAX_BYTES_PER_CHAR} bytes"
    )


def _summary(values: Mapping[str, Any], given: Collection[str]) -> str | None:
    """The old summary is read, and the new one written, in one model call. A default gives way instead."""
    if "summary_max_chars" not in given:
        return None
    tokens = values["summary_max_chars"] // CHARS_PER_TOKEN
    least = tokens + min(tokens, values["model_max_tokens"]) + MIN_PROMPT_TOKENS // 2
    context = dict(values["model_contexts"]).get(values["groq_model"], values["model_context_tokens"])
    if context >= least:
        return None
    return (
        f"SUMMARY_MAX_CHARS: a summary of {values['summary_max_chars']} characters needs a context of {least} tokens; "
        f"MODEL_CONTEXT_TOKENS, or MODEL_CONTEXTS for {values['groq_model']}, says {context}"
    )


def _ports(values: Mapping[str, Any], _given: Collection[str]) -> str | None:
    if values["metrics_port"] is None or values["metrics_port"] != values["port"]:
        return None
    return "METRICS_PORT: must not be PORT: the metrics have a port of their own"


_OTHERS: Final[tuple[Callable[[Mapping[str, Any], Collection[str]], str | None], ...]] = (_body, _summary, _ports)
