"""Signing in on the page by an OpenID provider, by clicking."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from services.launcher.program import free_port
from tests.browser.test_account import fits_a_phone, forget_proof, open_account
from tests.browser.test_databases_for_everybody import all_faults
from tests.doubles.oidc_control import control
from tests.doubles.process import start_oidc_double
from tests.support.chromium import Complaints
from tests.support.clients import PASSWORD
from tests.support.oidc import new_email, providers
from tests.support.page import Person
from tests.support.system import System


@pytest.fixture(scope="module")
def acme() -> Iterator[str]:
    """A provider's issuer."""
    with start_oidc_double() as issuer:
        yield issuer


async def start(system: System, issuer: str, **settings: str) -> str:
    """An API at which people sign in by the provider."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    await system.start_api(PORT=port, PUBLIC_URL=url, OIDC_PROVIDERS=providers(acme=issuer), **settings)
    return url


@pytest.fixture(scope="module")
async def api_url(system: System, acme: str) -> str:
    """The API's URL."""
    return await start(system, acme)


@pytest.fixture(autouse=True)
def _a_provider_is_elsewhere(complaints: Complaints, acme: str) -> Iterator[None]:
    """Pages have nothing to look for at other hosts, but at the provider."""
    yield
    complaints.foreign[:] = [url for url in complaints.foreign if not url.startswith(acme)]


async def sign_in(page: Page, email: str) -> None:
    """Click through the provider."""
    await page.get_by_role("link", name="Continue with Acme").click()
    await log_in_there(page, email)


async def log_in_there(page: Page, email: str) -> None:
    """Say at the provider who one is, and be sent back."""
    await expect(page.get_by_role("heading", name="Log in at Acme")).to_be_visible()
    await page.get_by_label("Address").fill(email)
    await page.get_by_role("button", name="Go on").click()


async def test_a_person_signs_in_by_clicking_and_comes_back_to_where_they_were(stranger: Person) -> None:
    page, email = stranger.page, new_email()
    await page.goto(f"{stranger.origin}/#/usage")
    await sign_in(page, email)
    await expect(page.get_by_text(email)).to_be_visible()
    assert page.url == f"{stranger.origin}/#/usage"
    await stranger.sign_out()
    await sign_in(page, email)
    await expect(stranger.composer).to_be_focused()
    assert {cookie["name"] for cookie in await page.context.cookies(stranger.origin)} == {"__Host-cortexai"}


async def test_why_a_sign_in_led_to_nothing_is_told_once(stranger: Person, person: Person) -> None:
    page = stranger.page
    email = await person.page.locator(".account").inner_text()  # nobody has verified this address
    await person.sign_out()
    await sign_in(page, email)
    alert = page.get_by_role("alert").filter(has_text="verify the address")
    await expect(alert).to_be_visible()
    assert page.url == f"{stranger.origin}/#/"
    await page.reload()
    await expect(page.get_by_role("link", name="Continue with Acme")).to_be_visible()
    await expect(alert).to_be_hidden()


async def test_a_provider_that_does_not_answer_is_told(
    stranger: Person, complaints: Complaints, system: System, acme: str
) -> None:
    page = stranger.page
    await control(acme, discovery="down")
    await complaints.move(page, await start(system, acme))
    await page.goto(complaints.origin)
    await page.get_by_role("link", name="Continue with Acme").click()
    await expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    await control(acme, reset=True)


async def test_where_passwords_are_off_the_page_asks_for_none(
    stranger: Person, complaints: Complaints, system: System, acme: str
) -> None:
    page = stranger.page
    await complaints.move(page, await start(system, acme, PASSWORD_LOGIN="off"))
    await page.goto(complaints.origin)
    await expect(page.get_by_role("link", name="Continue with Acme")).to_be_focused()
    await expect(page.get_by_label("Password")).to_be_hidden()
    await expect(page.get_by_role("button", name="Make one")).to_be_hidden()
    email = new_email()
    await sign_in(page, email)
    await expect(page.get_by_text(email)).to_be_visible()


async def test_a_provider_is_linked_on_the_page_and_taken_away_again(person: Person, system: System) -> None:
    page, there = person.page, new_email()
    email = await page.locator(".account").inner_text()
    await open_account(person)
    providers_here = page.get_by_role("region", name="Providers")
    await expect(providers_here.get_by_text("No provider is linked")).to_be_visible()
    forget_proof(system, email)
    await person.button("Link Acme").click()
    await page.get_by_role("dialog", name="Is it you?").get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await log_in_there(page, there)
    await expect(page.get_by_text("The provider is linked to your account.")).to_be_visible()
    assert page.url == f"{person.origin}/#/account"
    await expect(providers_here.get_by_role("listitem").filter(has_text="Acme")).to_be_visible()
    assert await all_faults(page) == []
    assert await fits_a_phone(page)

    await person.sign_out()
    await sign_in(page, there)
    await expect(page.get_by_text(email)).to_be_visible()
    await open_account(person)
    await person.button("Remove “Acme”").click()
    await person.button("Remove", within=page.get_by_role("dialog")).click()
    await expect(providers_here.get_by_text("No provider is linked")).to_be_visible()
    await expect(providers_here.get_by_role("heading")).to_be_focused()
    assert system.count("oidc_identities", "user_id = (SELECT id FROM users WHERE email = %s)", email) == 0


async def test_who_has_no_password_proves_who_it_is_at_the_provider_and_goes_on_there(
    stranger: Person, system: System
) -> None:
    page, email = stranger.page, new_email()
    await page.goto(stranger.origin)
    await sign_in(page, email)
    await expect(stranger.composer).to_be_focused()
    forget_proof(system, email)
    await open_account(stranger, "API keys")
    asked = page.get_by_role("dialog", name="Is it you?")

    async def make_a_key() -> None:
        await page.get_by_text("Make a key").click()
        await page.get_by_label("Name", exact=True).fill("Report")
        await stranger.button("Make the key").click()

    await make_a_key()
    await expect(asked).to_be_visible()
    assert await all_faults(page) == []
    await stranger.button("Continue with Acme").click()
    await log_in_there(page, new_email())  # somebody else
    await expect(page.get_by_text("This is not the identity of the account")).to_be_visible()
    await make_a_key()
    await stranger.button("Continue with Acme").click()
    await log_in_there(page, email)
    await expect(page.get_by_text("You have proved who you are.")).to_be_visible()
    assert page.url == f"{stranger.origin}/#/account/keys"
    await make_a_key()
    await expect(page.get_by_role("group", name="API key")).to_be_visible()
    await expect(asked).to_be_hidden()

    await open_account(stranger)
    await stranger.button("Remove “Acme”").click()
    await stranger.button("Remove", within=page.get_by_role("dialog")).click()
    await expect(page.get_by_text("you could not sign in any more")).to_be_visible()
    assert system.count("oidc_identities", "user_id = (SELECT id FROM users WHERE email = %s)", email) == 1
