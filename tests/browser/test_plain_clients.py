"""EventSource, and fetch-event-source, in pages of our own origin: however often a tab is hidden, one message gets one answer."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Page, Route, expect

from tests.clients.conftest import DOCUMENTED, node_folder
from tests.doubles import groq_control
from tests.support.clients import PASSWORD, numbered

__all__ = ["node_folder"]

TIMES = 20
PAGE = """<!doctype html><meta charset="utf-8"><title>A client</title><p aria-label="Answer"></p><p role="status"></p>
<script type="module">
    import {fetchEventSource} from "./fetch-event-source/index.js";
    import {followChat} from "./eventsource.js";
    const [answer, status] = document.querySelectorAll("p");
    const take = (part) => {
        if (part.type === "data-reset") throw new Error("nothing was lost");
        if (part.type === "text-delta") answer.textContent += part.delta;
    };
    window.ask = {
        "fetch-event-source": (chat, body) => fetchEventSource(`/api/chats/${chat}/messages`, {
            method: "POST", headers: {"Content-Type": "application/json"}, body,
            onmessage: ({data}) => data === "[DONE]" || take(JSON.parse(data)),
        }).then(() => status.textContent = "over"),
        "EventSource": async (chat, body) => {
            const headers = {"Content-Type": "application/json", Prefer: "respond-async"};
            await fetch(`/api/chats/${chat}/messages`, {method: "POST", headers, body});
            followChat(chat, 0, take, {onEnd: () => status.textContent = "over"});
        },
    };
    let isHidden = false;
    Object.defineProperty(document, "hidden", {get: () => isHidden});
    window.hide = (hidden) => {
        isHidden = hidden;
        document.dispatchEvent(new Event("visibilitychange"));
    };
</script>"""
NEW_CHAT = """async (account) => {
    const post = (path, body) =>
        fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
    await post("/api/auth/signup", account);
    await post("/api/auth/login", {...account, cookie: true});
    return (await (await post("/api/chats", {})).json()).id;
}"""
MESSAGES = "async (chat) => (await fetch(`/api/chats/${chat}/messages`)).json()"


@pytest.fixture
async def client_page(page: Page, node_folder: Path) -> Page:
    """A page with both clients, in which nobody is signed in."""
    package = node_folder / "node_modules" / "@microsoft" / "fetch-event-source" / "lib" / "esm"

    async def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if not name:
            await route.fulfill(body=PAGE, content_type="text/html")
        else:
            folder = package if "/fetch-event-source/" in route.request.url else DOCUMENTED
            file = folder / (name if name.endswith(".js") else f"{name}.js")  # the package's imports have no endings
            await route.fulfill(body=file.read_text(), content_type="text/javascript")

    await page.context.route("**/plain/**", serve)
    await page.goto("/plain/")
    return page


@pytest.mark.parametrize("client", ["EventSource", "fetch-event-source"])
async def test_a_tab_that_is_hidden_and_shown_again_and_again_gets_one_answer_to_one_message(
    client_page: Page, client: str, groq_url: str
) -> None:
    page, gate = client_page, uuid4().hex
    chat: int = await page.evaluate(NEW_CHAT, {"email": f"{uuid4().hex}@example.com", "password": PASSWORD})
    body = f'{{"content": "[[tokens=20 after=5 hold={gate}]]"}}'
    await page.evaluate("([client, chat, body]) => void window.ask[client](chat, body)", [client, chat, body])
    await expect(page.get_by_label("Answer")).to_have_text(numbered(5).rstrip())
    for _ in range(TIMES):
        await page.evaluate("() => window.hide(true)")
        if client == "fetch-event-source":  # an EventSource stays open
            async with page.expect_response(f"**/api/chats/{chat}/messages"):
                await page.evaluate("() => window.hide(false)")
        else:
            await page.evaluate("() => window.hide(false)")
    await groq_control.release(groq_url, gate)
    await expect(page.get_by_label("Answer")).to_have_text(numbered(20).rstrip())
    await expect(page.get_by_role("status")).to_have_text("over")
    said: list[dict[str, Any]] = await page.evaluate(MESSAGES, chat)
    assert [message["content"] for message in said][1:] == [numbered(20)]
