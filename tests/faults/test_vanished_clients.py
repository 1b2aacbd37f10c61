"""A client whose network is gone, without a word: the kernel finds out, whether or not something is being sent."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from services.api.http1.listener import tune

HOST = "10.213.77.1"
AWAY = "10.213.77.2"
NAMESPACE = f"vanish-{os.getpid()}"
OURS, THEIRS = f"va{os.getpid()}", f"vb{os.getpid()}"
CLIENT = f"import socket, time; kept = socket.create_connection(('{HOST}', %d)); time.sleep(60)"


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def away() -> Iterator[None]:
    """A host of the test's own, at the other end of a cable."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root, with iproute2, can make a host and cut its cable")
    try:
        run("ip", "netns", "add", NAMESPACE)
        run("ip", "link", "add", OURS, "type", "veth", "peer", "name", THEIRS, "netns", NAMESPACE)
    except subprocess.CalledProcessError as refused:
        with suppress(subprocess.CalledProcessError):
            run("ip", "netns", "delete", NAMESPACE)
        pytest.skip(f"no host can be made here: {refused.stderr!r}")
    run("ip", "address", "add", f"{HOST}/30", "dev", OURS)
    run("ip", "link", "set", OURS, "up")
    run("ip", "-n", NAMESPACE, "address", "add", f"{AWAY}/30", "dev", THEIRS)
    run("ip", "-n", NAMESPACE, "link", "set", THEIRS, "up")
    yield
    run("ip", "link", "delete", OURS)
    run("ip", "netns", "delete", NAMESPACE)


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("ping_after", [None, 8.0])
def test_a_vanished_client_is_found_out_within_20_seconds(ping_after: float | None) -> None:
    with tune(socket.create_server((HOST, 0))) as listener:
        code = CLIENT % listener.getsockname()[1]
        command = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-c", code]
        with subprocess.Popen(command) as client, listener.accept()[0] as accepted:
            run("ip", "-n", NAMESPACE, "link", "set", THEIRS, "down")
            begin = time.monotonic()
            if ping_after is not None:
                # As late as it gets before the kernel's own question would have told.
                threading.Timer(ping_after, accepted.send, [b": ping\n\n"]).start()
            try:
                # Which one depends on what was tried last: a question, or bytes.
                with pytest.raises(OSError, match=r"Connection timed out|No route to host"):
                    accepted.recv(1)
                elapsed = time.monotonic() - begin
            finally:
                client.kill()
    assert 5 < elapsed < 20
