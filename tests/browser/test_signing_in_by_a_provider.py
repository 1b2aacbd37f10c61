"""Signing in on the page by an OpenID provider, by clicking."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from services.launcher.program import free_port
from tests.doubles.oidc_control import control
from tests.doubles.process import start_oidc_double
from tests.support.chromium import Complaints
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
    await expect(page.get_by_role("heading", name="Log in at Acme")).to_be_visible()
    await page.get_by_label("Address").fill(email)
    await page.get_by_role("button", name="Go on").click()


async def test_a_person_signs_in_by_clicking_and_comes_back_to_where_they_were(stranger: Person) -> None:
    page, email = stranger.page, new_email()
    await page.goto(f"{stranger.origin}/#/usage")
    await sign_in(page, email)
    await expect(page.get_by_text(email)).to_be_visible()
    assert page.url == f"{stranger.origin}/#/usage"
    await stranger.button("Sign out").click()
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await sign_in(page, email)
    await expect(stranger.composer).to_be_focused()
    assert {cookie["name"] for cookie in await page.context.cookies(stranger.origin)} == {"__Host-cortexai"}


async def test_why_a_sign_in_led_to_nothing_is_told_once(stranger: Person, person: Person) -> None:
    page = stranger.page
    email = await person.page.locator(".account").inner_text()  # nobody has verified this address
    await person.button("Sign out").click()
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
    complaints.origin = await start(system, acme)
    await page.goto(complaints.origin)
    await page.get_by_role("link", name="Continue with Acme").click()
    await expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    await control(acme, reset=True)


async def test_where_passwords_are_off_the_page_asks_for_none(
    stranger: Person, complaints: Complaints, system: System, acme: str
) -> None:
    page = stranger.page
    complaints.origin = await start(system, acme, PASSWORD_LOGIN="off")
    await page.goto(complaints.origin)
    await expect(page.get_by_role("link", name="Continue with Acme")).to_be_focused()
    await expect(page.get_by_label("Password")).to_be_hidden()
    await expect(page.get_by_role("button", name="Make one")).to_be_hidden()
    email = new_email()
    await sign_in(page, email)
    await expect(page.get_by_text(email)).to_be_visible()
