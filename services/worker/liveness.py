"""A file for health checks.

It exists while the process is ready, and is touched every few seconds while the process works.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

EVERY: Final = 5.0


class Liveness:
    """The file that READY_FILE names. Without READY_FILE, nothing is done."""

    def __init__(self) -> None:
        path = os.environ.get("READY_FILE")
        self._path = Path(path) if path else None
        self._over = threading.Event()

    def begin(self, check: Callable[[], None]) -> None:
        """Make the file, and touch it again after every `check` that returns."""
        threading.Thread(target=self._keep, args=(check,), name="alive", daemon=True).start()

    def _keep(self, check: Callable[[], None]) -> None:
        while self._path is not None and not self._over.is_set():
            check()
            self._path.touch()
            self._over.wait(EVERY)

    def end(self) -> None:
        """Remove the file."""
        self._over.set()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
