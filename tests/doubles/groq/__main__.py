import argparse
import asyncio
import gc
import signal
import sys
from pathlib import Path

import uvloop

from tests.doubles.groq.http import Connection
from tests.doubles.groq.pacing import Clock
from tests.doubles.groq.state import State


class _Lifeline(asyncio.Protocol):
    """Ends the double when its standard input closes, so that it never outlives a test run that was killed."""

    def __init__(self, over: asyncio.Event) -> None:
        self._over = over

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._over.set()


async def serve(host: str, port: int, port_file: Path | None, *, until_stdin_closes: bool) -> None:
    """Serve until SIGTERM or SIGINT; the port is printed, alone on a line, once it is listening."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    state, clock = State(), Clock(loop)
    server = await loop.create_server(lambda: Connection(state, clock), host, port, backlog=4096)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if until_stdin_closes:
        await loop.connect_read_pipe(lambda: _Lifeline(over), sys.stdin)
    bound = server.sockets[0].getsockname()[1]
    # What was imported lives as long as the process; the collector need not look at it again in the middle of a stream.
    gc.freeze()
    _announce(bound, port_file)
    await over.wait()
    server.close()


def _announce(port: int, port_file: Path | None) -> None:
    if port_file:
        port_file.write_text(f"{port}\n")
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.groq", description="Stands in for Groq.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--port-file", type=Path, help="write the port here when ready")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port, options.port_file, until_stdin_closes=options.until_stdin_closes))


if __name__ == "__main__":
    main()
