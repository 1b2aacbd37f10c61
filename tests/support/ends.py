"""How answers end whose clients have left."""

import asyncio

import httpx

from tests.support.clients import NO_TLS
from tests.support.turns import execute

NEWEST = "SELECT id::text, status FROM generations ORDER BY id DESC LIMIT 1"


async def newest_end(api: str, key: str, database_url: str) -> str:
    """The status with which the newest generation ends: its stream is read until then, with the key of its user."""
    ((generation_id, _),) = execute(database_url, NEWEST)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        asyncio.timeout(10),
        httpx.AsyncClient(base_url=api, headers=headers, verify=NO_TLS) as http,
        http.stream("GET", f"/api/generations/{generation_id}/stream") as response,
    ):
        assert response.status_code == 200
        async for _ in response.aiter_lines():
            pass
    ((_, status),) = execute(database_url, NEWEST)
    return str(status)
