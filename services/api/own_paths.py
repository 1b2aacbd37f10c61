"""Paths of the API as its clients reach them: a proxy may serve the API below a prefix."""

from contextvars import ContextVar
from typing import Final

HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Asked by what looks after containers: often, and by address. They tell nothing of anybody."""
ROOT: ContextVar[str] = ContextVar("root_path", default="")
"""What the paths of the current request begin with, such as `/ai`; "" where nothing stands before them."""


def own_path(path: str) -> str:
    """A path of the API, as the current request's client has to ask for it."""
    return ROOT.get() + path
