"""Runs a module in a process whose wall clock is wrong: `python -m tests.doubles.clock SECONDS MODULE [ARGUMENT…]`."""

import datetime as dt
import runpy
import sys
import time
from typing import Self


def main() -> None:
    """Be `SECONDS` ahead (or behind, if negative) for whoever asks the time, and run the module as the main program."""
    real, ahead, module = time.time, float(sys.argv[1]), sys.argv[2]

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Self:
            return cls.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

    time.time = lambda: real() + ahead
    dt.datetime = Clock  # type: ignore[misc]
    sys.argv[1:] = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
