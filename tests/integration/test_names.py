"""Redis by a name that can't be found, and over a connection that was just lost: what uvloop makes of these."""

import asyncio
import os
import subprocess
import sys

import pytest
import uvloop
from redis.exceptions import ConnectionError as ConnectionLost

from services.launcher.embedded.valkey import EmbeddedValkey
from shared.streams.redis import connect

LOOK_UP_AND_LEAVE = """
import asyncio, gc, logging, uvloop
from shared.streams.redis import connect

async def leave_while_the_name_is_looked_up():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: print(context["message"]))
    async with connect("redis://nowhere.invalid:6379/0") as redis:
        asking = asyncio.create_task(redis.ping())
        for _ in range({steps}):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    try:
        await loop.getaddrinfo("nowhere.invalid", 6379)
    except OSError:
        gc.collect()

uvloop.run(leave_while_the_name_is_looked_up())
"""


def test_a_name_that_is_not_found_in_time_leaves_no_error_behind() -> None:
    # One thread for all look-ups: when the second one is answered, so is the one that was left.
    environment = {**os.environ, "UV_THREADPOOL_SIZE": "1"}
    for steps in range(1, 6):
        command = [sys.executable, "-c", LOOK_UP_AND_LEAVE.format(steps=steps)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_a_connection_that_was_lost_a_moment_ago_is_made_anew(valkey: EmbeddedValkey) -> None:
    async def lose() -> None:
        async with connect(valkey.url, connections=1) as redis:
            lost = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            lost._writer.transport.abort()
            with pytest.raises(ConnectionLost):
                await lost.send_command("PING", check_health=False)
            await redis.connection_pool.release(lost)
            assert await redis.ping()

    await asyncio.to_thread(uvloop.run, lose())
