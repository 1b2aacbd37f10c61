"""The paths that answers name, as the client of the request reaches them: a proxy may serve the API below a prefix."""

from contextvars import ContextVar

ROOT: ContextVar[str] = ContextVar("root_path", default="")
"""What the paths of the current request begin with, such as `/ai`; "" where nothing stands before them."""


def own_path(path: str) -> str:
    """A path of the API, as the current request's client has to ask for it."""
    return ROOT.get() + path
