"""A program that stands in for an OpenID provider: `python -m tests.doubles.oidc --port 0`.

Who logs in, and what goes wrong with that, is said by whoever logs in (`directives.py`); what goes wrong with the provider itself
is said beforehand over the control API (`tests.doubles.oidc_control`).
"""

import argparse
import asyncio
import socket
import sys

import uvicorn

from tests.doubles.oidc.server import make_app


async def serve(port: int) -> None:
    """Serve on loopback until the end of standard input; the port is printed once it is listening."""
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    config = uvicorn.Config(make_app(f"http://127.0.0.1:{port}"), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    # So that it never outlives a test run that was killed.
    lifeline = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lifeline), sys.stdin)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.ensure_future(lifeline.read())
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.doubles.oidc", description="Stands in for an OpenID provider."
    )
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
