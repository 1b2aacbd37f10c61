"""Readers that are many, or don't read."""

import asyncio
import socket
import time
from statistics import quantiles

import psutil
from redis import Redis

from tests.support.readers import User, user_of
from tests.support.system import System, eventually

STREAMS = 1000
PORTION = 50
POOL = 5
TRIES = 4
MEGABYTE = 1024 * 1024


async def open_stream(user: User, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream on a bare socket, opened: a thousand clients would be slower than what is tested."""
    token = user.http.headers["Authorization"]
    for _ in range(TRIES):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(user.urls[0].rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nAuthorization: {token}\r\n\r\n".encode())
        answer = await reader.readline()
        if b" 503 " not in answer:
            break
        writer.close()  # no database connection was free in time; clients try again
    assert b" 200 " in answer
    await reader.readuntil(b": open")
    return reader, writer


async def test_1000_open_streams_take_no_database_connections_and_leave_nothing_behind(system: System) -> None:
    process, url = await system.start_api(DATABASE_POOL_SIZE=str(POOL))
    api = psutil.Process(process.pid)
    async with user_of(url) as user:
        asked = [await user.ask(tokens=1) for _ in range(20)]
        for reader in asked:
            reader.leave()
        sizes = []
        with Redis.from_url(system.valkey.url) as redis:
            await eventually(lambda: redis.pubsub_channels("cortexai:*:frames") == [])
            for _ in range(2):  # the first time, memory grows to what so many need
                paths = [asked[number % len(asked)].path for number in range(STREAMS)]
                # In portions, for which a pool so small mostly has time before it refuses them.
                opened = []
                for first in range(0, STREAMS, PORTION):
                    portion = paths[first : first + PORTION]
                    opened += await asyncio.gather(*(open_stream(user, path) for path in portion))
                took = []
                for _ in range(50):
                    asked_at = time.monotonic()
                    await user.send("GET", "/api/chats")
                    took.append(time.monotonic() - asked_at)
                assert quantiles(took, n=20)[-1] < 5  # the patience of a pool that others have emptied
                assert (
                    1
                    <= system.count(
                        "pg_stat_activity", "application_name = 'cortexai' AND datname = current_database()"
                    )
                    <= POOL
                )
                assert len(redis.client_list(_type="pubsub")) == 1
                assert len(redis.pubsub_channels("cortexai:*:frames")) == len(asked)
                for _, writer in opened:
                    writer.close()
                await eventually(lambda: redis.pubsub_channels("cortexai:*:frames") == [])
                sizes.append(api.memory_info().rss)
        assert sizes[1] - sizes[0] < 10 * MEGABYTE


async def test_a_reader_that_does_not_read_is_cut_off_while_others_read_on(system: System) -> None:
    process, url = await system.start_api()
    api = psutil.Process(process.pid)
    await system.start_worker(REPLY_MAX_CHARS="3000000")
    async with user_of(url) as user:
        long = await user.ask(tokens=200_000)  # more than the kernel takes for somebody who does not read
        long.leave()
        await eventually(lambda: system.count("generations", "closed_at IS NOT NULL") == 1)
        before = api.memory_info().rss
        slow = []
        for _ in range(20):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            token = user.http.headers["Authorization"]
            client.sendall(f"GET {long.path} HTTP/1.1\r\nHost: test\r\nAuthorization: {token}\r\n\r\n".encode())
            slow.append(client)
        ports = {client.getsockname()[1] for client in slow}

        def held() -> int:
            return sum(
                bool(at.raddr) and at.raddr.port in ports and at.status == "ESTABLISHED" for at in api.net_connections()
            )

        begin = time.monotonic()
        await eventually(lambda: held() == len(slow))
        live = await user.ask(tokens=200, rate=20)
        await eventually(lambda: held() == 0)
        took = time.monotonic() - begin
        await user.all_is_well([live])
        assert 9 < took < 20
        assert api.memory_info().rss - before < 20 * MEGABYTE
        for client in slow:
            client.close()
