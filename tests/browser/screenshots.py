"""Pictures of the page, light, dark and on a phone: `scripts/screenshots`."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from alembic import command
from cryptography.fernet import Fernet
from playwright.async_api import Browser, async_playwright, expect

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from shared.data_sources.sandbox.server import prepare
from tests.browser.conftest import LAUNCH_OPTIONS
from tests.conftest import SECRET, alembic_config
from tests.doubles import groq_control
from tests.doubles.process import start_groq_double, start_tavily_double
from tests.support.chromium import find_chromium
from tests.support.databases_on_page import make_sandbox
from tests.support.page import Person
from tests.support.system import System

DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 844)
TITLES: Final = ("A week in Lisbon with children", "Sourdough that does not collapse", "Explain Raft like I am five")
QUESTION: Final = "Why are there two tides a day?"
ANSWER: Final = '''\
Tides are the slow breathing of the sea, and the **Moon** does most of the pulling [1].

## Why there are two

The Moon's gravity is stronger on the near side of the Earth than on the far side. The difference stretches the ocean
into two bulges:

1. one *towards* the Moon,
2. one *away* from the Moon.

As the Earth turns, most coasts pass through both bulges about every 24 h 50 min.

| Kind | When | Range |
|---|---|---:|
| Spring tide | new and full moon | large |
| Neap tide | half moons | small |

A rough model in Python:

```python
from math import cos, pi

def height(hours: float, range_m: float = 4.2) -> float:
    """The water's height above the mean, in metres."""
    return range_m / 2 * cos(2 * pi * hours / 12.42)  # two tides a lunar day
```

The Bay of Fundy has the highest tides of all: up to 16 m [2].'''

BY_STATUS: Final = "SELECT status, count(*) AS orders FROM orders GROUP BY status ORDER BY orders DESC"
CHANGE: Final = "UPDATE orders SET status = 'paid' WHERE id IN (6, 13)"


@asynccontextmanager
async def running_system() -> AsyncIterator[tuple[str, str]]:
    """A system with doubles for the model and the search. Yields the addresses of the API and of the model."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "pg", durable=False))
        valkey = stack.enter_context(EmbeddedValkey(folder / "vk", appendonly=False))
        groq = stack.enter_context(start_groq_double())
        tavily = stack.enter_context(start_tavily_double())
        guard = stack.enter_context(Guard())
        command.upgrade(alembic_config(postgres.url), "head")
        await prepare(postgres.url_of("sandbox"))
        env = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "JWT_SECRET_KEY": SECRET,
            "GROQ_API_KEY": "test",
            "GROQ_BASE_URL": groq,
            "GROQ_MODEL": "double",
            "TAVILY_API_KEY": "tvly-test",
            "TAVILY_BASE_URL": tavily,
            "DATA_SOURCE_KEYS": Fernet.generate_key().decode(),
            "SANDBOX_DATABASE_URL": postgres.url_of("sandbox"),
        }
        system = System(env, folder, guard, valkey, None)
        stack.callback(system.kill_all)
        await asyncio.gather(system.start_worker(), system.start_worker("summaries,maintenance"))
        _, url = await system.start_api()
        yield url, groq


async def take(browser: Browser, url: str, groq: str, images: Path) -> None:
    """Have a conversation on the page, and take its pictures."""
    page = await browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    person = Person(page, url)
    await person.arrive("ada@example.com")
    for title in TITLES:
        await page.context.request.post(f"{url}/api/chats", data={"title": title}, headers={"Origin": url})
    script = {"marker": "tides", "purpose": "answer"}
    await groq_control.script(groq, "tool=web_search", arguments={"query": "why two tides a day"}, **script)  # type: ignore[arg-type]
    await groq_control.script(groq, "reasoning=9", reply=ANSWER, anywhere=True, **script)  # type: ignore[arg-type]
    await groq_control.script(groq, reply="Why there are two tides", purpose="title", anywhere=True)
    await person.ask(QUESTION)
    await person.chats.get_by_text("Why there are two tides").wait_for()
    await page.locator(".hljs-keyword").first.wait_for()
    scroller = page.get_by_role("region", name="Messages")
    await scroller.evaluate("(element) => { element.scrollTop = 0; document.activeElement.blur(); }")
    await page.screenshot(path=images / "page-light.png", animations="disabled")
    await page.emulate_media(color_scheme="dark")
    await scroller.evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
    await page.screenshot(path=images / "page-dark.png", animations="disabled")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await scroller.evaluate("(element) => { element.scrollTop = 0; }")
    await page.screenshot(path=images / "page-phone.png", animations="disabled")


async def take_change(browser: Browser, url: str, groq: str, images: Path) -> None:
    """Ask a sandbox, have the model propose a change, and take the picture of what waits for a decision."""
    page = await browser.new_page(viewport={"width": DESKTOP[0], "height": 1040})
    person = Person(page, url)
    await person.arrive("grace@example.com")
    source = await make_sandbox(person)
    chart = {"kind": "bar", "x": "status", "y": ["orders"]}
    asked = {"source": source, "sql": BY_STATUS, "purpose": "Orders by status", "chart": chart}
    await groq_control.script(groq, "tool=db_query", arguments=asked, marker="stand", purpose="answer")
    await groq_control.script(
        groq, reply="Most orders are delivered. 28 are still new.", marker="stand", anywhere=True, purpose="answer"
    )
    await groq_control.script(groq, reply="How the orders stand", purpose="title", anywhere=True)
    await person.ask("How do the orders stand?")
    change = {"source": source, "sql": CHANGE, "summary": "Mark the two oldest new orders as paid."}
    await groq_control.script(groq, "tool=db_propose_write", arguments=change, marker="oldest", purpose="answer")
    await person.say("Mark the two oldest new ones as paid.")
    await expect(person.button("Approve")).to_be_visible(timeout=20_000)
    await person.chats.get_by_text("How the orders stand").wait_for()
    await page.evaluate("document.activeElement.blur()")
    await page.screenshot(path=images / "page-change.png", animations="disabled")


async def take_account(browser: Browser, url: str, images: Path) -> None:
    """Begin to switch on a second factor, and take the picture of what an authenticator app is shown."""
    page = await browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    person = Person(page, url)
    await person.arrive("katherine@example.com")
    await page.goto(f"{url}/#/account")
    await person.button("Switch on").click()
    await page.get_by_role("img", name="QR code").wait_for()
    section = page.get_by_role("region", name="Second factor")
    await section.evaluate(
        "(element) => { element.scrollIntoView({ block: 'center' }); document.activeElement.blur(); }"
    )
    await page.screenshot(path=images / "page-account.png", animations="disabled")


async def main(images: Path) -> None:
    """Take all pictures into a folder."""
    async with running_system() as (url, groq), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(os.environ), args=LAUNCH_OPTIONS)
        await take(browser, url, groq, images)
        await take_change(browser, url, groq, images)
        await take_account(browser, url, images)
        await browser.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(folder))
