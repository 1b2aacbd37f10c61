import argparse
import asyncio
import signal
import sys

from tests.doubles.tavily.server import Connection
from tests.doubles.tavily.state import State


async def serve(port: int) -> None:
    """Serve on loopback until SIGTERM, SIGINT or the end of standard input; the port is printed once it is listening."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    state = State()
    server = await asyncio.start_server(
        lambda reader, writer: Connection(state, reader, writer).serve(), "127.0.0.1", port, backlog=1024
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    # So that it never outlives a test run that was killed.
    lifeline = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lifeline), sys.stdin)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = {asyncio.ensure_future(over.wait()), asyncio.ensure_future(lifeline.read())}
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.tavily", description="Stands in for Tavily.")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
