"""Starts a double as a process of its own, and ends it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 5


class DoubleFailed(RuntimeError):
    """A double ended before it was ready."""


@contextmanager
def start_groq_double() -> Iterator[str]:
    """Run the Groq double on a free port; yields what GROQ_BASE_URL must be, `http://127.0.0.1:<port>`.

    It is listening when this yields, and gone when the block ends.

    Raises:
        DoubleFailed: it did not start; its words are on the standard error.

    """
    command = [sys.executable, "-m", "tests.doubles.groq", "--port", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.strip().isdigit():
                raise DoubleFailed(f"the Groq double exited with {process.wait(STOP_SECONDS)}")
            yield f"http://127.0.0.1:{line.strip()}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
