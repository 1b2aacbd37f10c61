"""The page, where mail is on: verifying an address, setting a forgotten password anew, invites, and closed sign-up."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect

from services.launcher.cli import run
from services.launcher.program import free_port
from tests.browser.test_for_everybody import faults
from tests.conftest import NewSystem
from tests.doubles.smtp import MailServer, run_mail_server
from tests.support.chromium import watched_context
from tests.support.clients import PASSWORD
from tests.support.page import Person, hold_requests
from tests.support.system import System

NEW_PASSWORD = "another horse, another battery"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[MailServer]:
    """The file's mail server."""
    async with run_mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def port() -> int:
    """The API's port, which stands in mails."""
    return free_port()


@pytest.fixture(scope="module")
async def system(chromium_path: str, new_system: NewSystem, server: MailServer, port: int) -> System:
    """A system that sends mails. Without Chromium, it is not started."""
    assert chromium_path
    made = new_system(MAIL_FROM="no-reply@example.com", SMTP_URL=server.url, PUBLIC_URL=f"http://127.0.0.1:{port}")
    await made.start_worker("summaries,maintenance")
    return made


@pytest.fixture(scope="module")
async def api_url(system: System, port: int) -> str:
    """The system's API."""
    _, url = await system.start_api(PORT=str(port))
    return url


async def clean(page: Page) -> None:
    """Nothing is wrong with the page for anybody, and its address has no token."""
    assert await faults(page) == []
    assert "=" not in page.url
    assert "=" not in await page.evaluate("location.href")


async def test_a_person_confirms_the_address_by_the_mailed_link(person: Person, server: MailServer) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    hint = page.get_by_role("status").filter(has_text="Confirm your e-mail address")
    await expect(hint).to_be_visible()
    await clean(page)
    await page.goto(f"{person.origin}/#/account")
    warning = page.get_by_role("region", name="Second factor").get_by_text("Your e-mail address is not confirmed")
    await expect(warning).to_be_visible()
    await clean(page)
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_text("Another link is on its way")).to_be_visible()
    first, second = await server.mails(email, 2)
    tab = Person(await page.context.new_page(), person.origin)
    await tab.page.goto(second.link)
    await expect(tab.button("Confirm")).to_be_focused()
    await clean(tab.page)
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_text("Your e-mail address is confirmed.")).to_be_visible()
    await expect(tab.button("Go on")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.composer).to_be_focused()
    await expect(tab.page.get_by_text("Send again")).to_be_hidden()
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_text("Another link is on its way")).to_be_hidden()
    await page.reload()
    await expect(person.button("Switch on")).to_be_visible()
    await expect(warning).to_be_hidden()
    await tab.page.goto(first.link)  # in the page that is open, which is not loaded anew
    await tab.button("Confirm").click()
    await expect(tab.page.get_by_role("alert").filter(has_text="Ask for another one")).to_be_visible()
    await clean(tab.page)
    await tab.button("Not now").click()
    await expect(tab.composer).to_be_focused()
    await tab.page.goto(first.link)
    await expect(tab.button("Confirm")).to_be_focused()
    await tab.page.goto(f"{person.origin}/#/account/sessions")  # typed, in place of an answer
    await expect(tab.page.get_by_role("heading", name="Sessions").first).to_be_visible()
    await expect(tab.button("Confirm")).to_have_count(0)


async def test_who_is_not_signed_in_does_so_before_the_address_is_confirmed(person: Person, server: MailServer) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    link = (await server.mail(email)).link
    await person.sign_out()
    await page.goto(link)
    await expect(page.get_by_text("Sign in to confirm your e-mail address.")).to_be_visible()
    await clean(page)
    await person.fill_in(email, PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(f"You are signed in as {email}.")).to_be_visible()
    await expect(person.button("Confirm")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Your e-mail address is confirmed.")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(person.composer).to_be_focused()
    await expect(page.get_by_text("Send again")).to_be_hidden()


async def test_a_forgotten_password_is_set_anew_with_the_keyboard_alone(person: Person, server: MailServer) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await person.sign_out()
    await page.get_by_label("E-mail").fill(email)
    await person.button("Forgot your password?").press("Enter")
    await expect(page.get_by_label("E-mail")).to_have_value(email)
    await clean(page)
    await page.keyboard.press("Enter")
    await expect(person.button("Back to signing in")).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text=email)).to_be_visible()
    await clean(page)
    link = (await server.mail(email, "Set a new password")).link
    await page.goto(link)
    await expect(page.get_by_label("New password")).to_be_focused()
    await clean(page)
    await page.keyboard.type("password1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="Many people use this password")).to_be_visible()
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Your password is set.")).to_be_visible()
    await person.fill_in(email, PASSWORD)
    await person.button("Sign in").click()
    await expect(page.get_by_role("alert").filter(has_text="is not right")).to_be_visible()
    await person.fill_in(email, NEW_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(person.composer).to_be_focused()


async def test_a_link_that_is_opened_while_the_page_still_starts_stays(page: Page) -> None:
    go_on = await hold_requests(page, "**/api/auth/me")
    async with page.expect_request("**/api/auth/me"):
        await page.goto("/")
    await page.goto(f"/#/reset?token={'x' * 43}")
    await expect(page.get_by_label("New password")).to_be_visible()
    async with page.expect_response("**/api/auth/me"):
        go_on.set()
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await expect(page.get_by_role("button", name="Set the password")).to_be_visible()


async def test_a_link_stays_open_when_somebody_signs_in_in_another_tab(page: Page, api_url: str) -> None:
    await page.goto(f"/#/reset?token={'x' * 43}")
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await page.evaluate(
        "heard = new Promise((hear) => { new BroadcastChannel('cortexai-session').onmessage = hear; }); null"
    )
    other = Person(await page.context.new_page(), api_url)
    await other.sign_up()
    await page.evaluate("heard")
    # What the page does about it, it does before a request of its own is answered.
    await page.evaluate("fetch('/api/auth/me')")
    await expect(page.get_by_label("New password")).to_have_value(NEW_PASSWORD)


async def test_a_link_that_has_ended_says_so(stranger: Person) -> None:
    page = stranger.page
    await page.goto(f"/#/reset?token={'x' * 43}")
    await page.get_by_label("New password").fill(NEW_PASSWORD)
    await stranger.button("Set the password").click()
    await expect(page.get_by_role("alert").filter(has_text="Ask for another one")).to_be_visible()
    await stranger.button("Keep the password that I have").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_an_unknown_address_is_answered_as_a_known_one(stranger: Person) -> None:
    page = stranger.page
    await stranger.button("Forgot your password?").click()
    await page.get_by_label("E-mail").fill("nobody@example.com")
    await stranger.button("Send me a link").click()
    await expect(page.get_by_role("status").filter(has_text="If an account has the address")).to_be_visible()
    await stranger.button("Back to signing in").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_who_is_invited_makes_an_account_where_others_can_not(
    browser: Browser,
    system: System,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    _, url = await system.start_api(PORT=str(port), SIGNUP_MODE="invite", PUBLIC_URL=f"http://127.0.0.1:{port}")
    async with watched_context(browser, url) as (context, complaints):
        person = Person(await context.new_page(), url)
        page = person.page
        await page.goto("/")
        await expect(page.get_by_text("An account is made here by invite")).to_be_visible()
        await expect(person.button("Make one")).to_be_hidden()
        await clean(page)
        email = f"{uuid4().hex}@example.com"
        for name in ("DATABASE_URL", "MAIL_FROM"):
            monkeypatch.setenv(name, system.env[name])
        monkeypatch.setenv("PUBLIC_URL", url)
        assert await asyncio.to_thread(run, ["invite", email]) == 0
        token = (await server.mail(email)).token
        await page.goto(f"/#/sign-up?invite={token}")
        await expect(page.get_by_role("heading", name="Make an account")).to_be_visible()
        await clean(page)
        await person.fill_in(email, PASSWORD)
        await person.button("Make an account").click()
        await expect(person.composer).to_be_focused()
        await expect(page.get_by_text("Send again")).to_be_hidden()  # the mailed link has shown enough
        assert complaints.all() == []


async def test_where_sign_up_is_closed_there_is_no_form_for_that(browser: Browser, system: System) -> None:
    _, url = await system.start_api(SIGNUP_MODE="closed")
    async with watched_context(browser, url) as (context, complaints):
        person = Person(await context.new_page(), url)
        await person.page.goto("/")
        await expect(person.button("Forgot your password?")).to_be_visible()  # so what is allowed is known by now
        await expect(person.button("Make one")).to_be_hidden()
        await expect(person.page.get_by_text("No account yet?")).to_be_hidden()
        await clean(person.page)
        assert complaints.all() == []
