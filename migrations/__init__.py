"""Alembic's migrations: the only thing that makes or changes tables."""

from typing import Final

HEAD: Final = "0027"
"""The newest revision, which this code was written for. Revisions are numbers, so that they can be compared."""
