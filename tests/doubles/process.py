"""Starts a double as a process of its own, and ends it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 5


class DoubleFailed(RuntimeError):
    """A double ended before it was ready."""


def start_groq_double() -> AbstractContextManager[str]:
    """Run the Groq double on a free port; yields what GROQ_BASE_URL must be, `http://127.0.0.1:<port>`.

    It is listening when this yields, and gone when the block ends.

    Raises:
        DoubleFailed: it did not start; its words are on the standard error.

    """
    return _started("tests.doubles.groq", "--until-stdin-closes")


def start_tavily_double() -> AbstractContextManager[str]:
    """Run the Tavily double like the Groq double; yields what TAVILY_BASE_URL must be.

    Raises:
        DoubleFailed: it did not start; its words are on the standard error.

    """
    return _started("tests.doubles.tavily")


def start_oidc_double() -> AbstractContextManager[str]:
    """Run the double of an OpenID provider; yields its issuer.

    Raises:
        DoubleFailed: it did not start; its words are on the standard error.

    """
    return _started("tests.doubles.oidc")


@contextmanager
def _started(module: str, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", module, "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.strip().isdigit():
                raise DoubleFailed(f"{module} exited with {process.wait(STOP_SECONDS)}")
            yield f"http://127.0.0.1:{line.strip()}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
