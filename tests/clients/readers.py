"""Clients that read one stream to its end, each with its own ideas of lines and events.

A client yields the data of each event as soon as it has it. Its buffers and limits are its defaults.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import aiohttp
import httpx
import sseclient  # type: ignore[import-untyped]
from aiosseclient import aiosseclient  # type: ignore[import-untyped]
from httpx_sse import aconnect_sse

from tests.clients.programs import Program
from tests.support.clients import NO_TLS
from tests.support.tools import tool

DONE = "[DONE]"

Read = Callable[[str, str], AsyncIterator[str]]
"""Reads the stream at a URL, with a token."""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def with_httpx_sse(url: str, token: str) -> AsyncIterator[str]:
    async with (
        httpx.AsyncClient(verify=NO_TLS, timeout=30, headers=bearer(token)) as http,
        aconnect_sse(http, "GET", url) as source,
    ):
        async for event in source.aiter_sse():
            yield event.data


async def with_aiosseclient(url: str, token: str) -> AsyncIterator[str]:
    async with aclosing(aiosseclient(url, headers=bearer(token))) as events:
        async for event in events:
            yield event.data
            if event.data == DONE:
                return


async def with_sseclient(url: str, token: str) -> AsyncIterator[str]:
    source = await asyncio.to_thread(sseclient.SSEClient, url, headers=bearer(token))
    try:
        while (event := await asyncio.to_thread(next, source)).data != DONE:
            yield event.data
        yield DONE
    finally:
        source.resp.close()


async def with_aiohttp(url: str, token: str) -> AsyncIterator[str]:
    """Line by line, since aiohttp limits the length of a line."""
    async with aiohttp.ClientSession(headers=bearer(token)) as session, session.get(url) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                yield line[6:].decode().removesuffix("\n")


def by_program(program: Program, *, of_lines: bool = False) -> Read:
    """With a program that prints events as JSON, or `of_lines`, the stream's own lines."""

    async def read(url: str, token: str) -> AsyncIterator[str]:
        async with program.running(url, token) as running:
            async for line in running.lines():
                if not of_lines:
                    yield json.loads(line)["data"]
                elif line.startswith("data: "):
                    yield line.removeprefix("data: ")

    return read


async def with_curl(url: str, token: str) -> AsyncIterator[str]:
    curl = Program((tool("curl"), "--silent", "--show-error", "--no-buffer"), Path())
    async with curl.running(url, "--oauth2-bearer", token) as running:
        async for line in running.lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ")
