"""What a model says that a call took, where it can be believed."""

from typing import Any, Final

from shared.token_usage import TokenUsage

MAX_TOKENS: Final = 20_000_000
"""No call takes more."""
SLACK: Final = 16
"""The total may differ from its parts by so many tokens, or by a quarter: templates and caches are counted differently."""
_PLACES: Final = ("usage", "x_groq")


def read_usage(event: dict[str, Any]) -> TokenUsage | None:
    """The usage that an event has, wherever it stands; None when it has none, or none that can be."""
    for place in _PLACES:
        usage = event.get(place)
        if isinstance(usage, dict):
            found = _usage(usage.get("usage") if isinstance(usage.get("usage"), dict) else usage)
            if found is not None:
                return found
    return None


def _usage(usage: Any) -> TokenUsage | None:  # noqa: ANN401 - what the model sent
    prompt = _tokens(usage.get("prompt_tokens", usage.get("input_tokens")))
    completion = _tokens(usage.get("completion_tokens", usage.get("output_tokens")))
    if prompt is None or completion is None or not prompt + completion:
        return None
    given = usage.get("total_tokens")
    total = prompt + completion if given is None else _tokens(given)
    if total is None:
        return None
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    reasoning = _tokens(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    # Some count the reasoning in the total only.
    for expected in (prompt + completion, prompt + completion + (reasoning or 0)):
        if abs(total - expected) <= max(SLACK, expected // 4):
            return TokenUsage(prompt, completion, total)
    return None


def _tokens(number: object) -> int | None:
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MAX_TOKENS:
        return number
    return None
