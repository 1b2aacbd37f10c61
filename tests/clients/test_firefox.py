"""A page of another origin in Firefox, which lets scripts set `User-Agent` and then asks for it in its preflight."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.tools import tool

PATIENCE = 60
"""Seconds until a page must have told its result: Firefox takes long to start on a busy machine."""
# The headers are those that the AI SDK and tracing libraries add to each call of a page.
PAGE = """<!doctype html><meta charset="utf-8"><script type="module">
    const extra = {"User-Agent": "ai-sdk/5.0.150", "sentry-trace": "1-1", baggage: "a=1", tracestate: "a=1",
                   "X-Requested-With": "page", "Cache-Control": "no-cache"};
    const json = {"Content-Type": "application/json", ...extra};
    const result = {};
    try {
        const account = {email: "firefox@example.com", password: "a long password"};
        const post = (path, body, more) =>
            fetch("%API%" + path, {method: "POST", headers: {...json, ...more}, body: JSON.stringify(body)});
        await post("/api/auth/signup", account);
        const {access_token} = await (await post("/api/auth/login", account)).json();
        const made = await post("/api/chats", {}, {Authorization: `Bearer ${access_token}`});
        result.made = [made.status, made.headers.get("Location"), made.headers.has("X-Request-Id")];
        const refused = await fetch("%API%/api/chats", {headers: extra});
        result.refused = [refused.status, (await refused.json()).code];
        const {id} = await (await post("/api/chats", {}, {Authorization: `Bearer ${access_token}`})).json();
        const gone = await fetch(`%API%/api/chats/${id}`,
            {method: "DELETE", headers: {...extra, Authorization: `Bearer ${access_token}`}});
        result.deleted = gone.status;
    } catch (error) {
        result.error = String(error);
    }
    await fetch("/result", {method: "POST", body: JSON.stringify(result)});
</script>"""


@asynccontextmanager
async def origin_of_a_page(told: asyncio.Future[dict[str, Any]], api: list[str]) -> AsyncIterator[str]:
    """A server with the page, whose API's URL comes to be in `api`. The page's result comes to be in `told`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = b""
        if head.startswith("POST /result"):
            length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
            told.set_result(json.loads(await reader.readexactly(int(length.partition(":")[2]))))
        elif head.startswith("GET / "):
            body = PAGE.replace("%API%", api[0]).encode()
        lines = ("HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(body)}", "Connection: close")
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_page_of_a_listed_origin_may_send_what_its_libraries_add(
    make_database: Callable[[], str], valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    firefox = tool("firefox-esr", "firefox")
    told, api = asyncio.get_running_loop().create_future(), list[str]()
    async with origin_of_a_page(told, api) as origin:
        settings = settings_for(make_database(), valkey.url, "http://127.0.0.1:1", backend_cors_origins=origin)
        async with serve(settings) as url:
            api.append(url)
            process = await asyncio.create_subprocess_exec(
                *(firefox, "--headless", "--no-remote", "--profile", str(tmp_path), f"{origin}/"),
                env={"HOME": str(tmp_path), "MOZ_HEADLESS": "1", "PATH": "/usr/bin:/bin"},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(PATIENCE):
                    result = await told
            finally:
                process.terminate()
                await process.wait()
    assert result == {"made": [201, "/api/chats/1", True], "refused": [401, "unauthenticated"], "deleted": 204}
