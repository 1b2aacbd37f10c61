"""A stream, or JSON with the stream's path? Source: docs/protocol.md §3; RFC 7240 (Prefer), RFC 9110 (Accept)."""

from starlette.datastructures import Headers


def prefers_async(headers: Headers) -> bool:
    """Whether `Prefer` names respond-async."""
    preferences = ",".join(headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


def wants_json(headers: Headers) -> bool:
    """Whether the client asks for 202: by `Prefer`, or by an `Accept` that has JSON and neither a stream nor */*."""
    if prefers_async(headers):
        return True
    accepted = [_range(item) for item in ",".join(headers.getlist("accept")).split(",")]
    kinds = {kind for kind, quality in accepted if quality > 0}
    return "application/json" in kinds and not kinds & {"text/event-stream", "text/*", "*/*"}


def _range(item: str) -> tuple[str, float]:
    """A media range and its weight. A weight that is no number counts as 1."""
    kind, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return kind, 1.0
