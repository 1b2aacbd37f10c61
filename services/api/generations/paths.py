"""The paths of a generation's routes, as the current request's client reaches them."""

from uuid import UUID

from services.api.own_paths import own_path


def stream_url(generation_id: UUID) -> str:
    """The path of a generation's permanent stream."""
    return own_path(f"/api/generations/{generation_id}/stream")
