"""What work on a data source may take."""

from dataclasses import dataclass
from typing import Final

MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection and of what it runs.

    Times are in seconds. `rows` and `result_bytes` bound what a query shows; `received_bytes` is what a connection may receive
    in all, whatever the server sends.
    """

    statement_seconds: float = 10
    lock_seconds: float = 3
    idle_seconds: float = 30
    connect_seconds: float = 5
    work_mem_bytes: int = 16 * MEBIBYTE
    temp_file_bytes: int = 256 * MEBIBYTE
    rows: int = 500
    result_bytes: int = MEBIBYTE
    received_bytes: int = 64 * MEBIBYTE
