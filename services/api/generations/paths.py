"""The paths of a generation's routes."""

from uuid import UUID

from services.api.own_paths import own_path


def stream_path(generation_id: UUID) -> str:
    """The path of a generation's permanent stream, for whoever knows where the API is."""
    return f"/api/generations/{generation_id}/stream"


def stream_url(generation_id: UUID) -> str:
    """The same path, as the current request's client reaches it."""
    return own_path(stream_path(generation_id))
