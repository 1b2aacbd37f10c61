"""The paths of a generation's routes."""

from uuid import UUID


def stream_url(generation_id: UUID) -> str:
    """The path of a generation's permanent stream."""
    return f"/api/generations/{generation_id}/stream"
