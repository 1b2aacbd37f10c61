"""A stream, or JSON with the stream's path? Source: docs/protocol.md §3; RFC 7240 (Prefer), RFC 9110 (Accept)."""

from starlette.datastructures import Headers

from services.api.media_ranges import accepted


def prefers_async(headers: Headers) -> bool:
    """Whether `Prefer` names respond-async."""
    preferences = ",".join(headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in preferences)


def wants_json(headers: Headers) -> bool:
    """Whether the client asks for 202: by `Prefer`, or by an `Accept` that has JSON and neither a stream nor */*."""
    if prefers_async(headers):
        return True
    kinds = {kind for kind, quality in accepted(headers).items() if quality > 0}
    return "application/json" in kinds and not kinds & {"text/event-stream", "text/*", "*/*"}
