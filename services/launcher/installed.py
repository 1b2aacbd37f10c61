"""Which services can run here: a container of one service has not the packages of the others."""

from importlib.util import find_spec
from typing import Final

OF_THE_API: Final = "fastapi"
OF_WORKERS: Final = "aiosmtplib"
"""A package that this service alone needs."""


def has_workers() -> bool:
    """Whether workers can run here. They send the mail, and ask the model."""
    return find_spec(OF_WORKERS) is not None


def has_all() -> bool:
    """Whether all services can run here, so that `up` can start them."""
    return has_workers() and find_spec(OF_THE_API) is not None
