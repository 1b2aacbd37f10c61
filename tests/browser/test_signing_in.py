"""Signing in and out on the page."""

from uuid import uuid4

import pyotp
from playwright.async_api import BrowserContext, expect

from tests.support.clients import PASSWORD
from tests.support.page import Person, call_module


async def test_a_person_makes_an_account_signs_out_and_in_again(stranger: Person) -> None:
    page, person = stranger.page, stranger
    email = await person.sign_up()
    await expect(page.get_by_text(email)).to_be_visible()
    await person.sign_out()
    await person.fill_in(email, PASSWORD)
    await person.button("Sign in").click()
    await expect(person.composer).to_be_focused()


async def test_a_wrong_password_is_told_in_words(stranger: Person) -> None:
    page, person = stranger.page, stranger
    await person.fill_in("nobody@example.com", PASSWORD)
    await person.button("Sign in").click()
    await expect(page.get_by_role("alert").filter(has_text="is not right")).to_be_visible()
    await expect(page.get_by_label("E-mail", exact=True)).to_be_focused()


async def test_a_password_that_others_try_first_is_told_in_words(stranger: Person) -> None:
    page, person = stranger.page, stranger
    await page.get_by_role("button", name="Make one").click()
    await person.fill_in(f"{uuid4().hex}@example.com", "password1")
    await person.button("Make an account").click()
    await expect(page.get_by_role("alert").filter(has_text="Many people use this password")).to_be_visible()
    await expect(page.get_by_label("Password")).to_be_focused()


async def test_a_code_is_asked_for_where_the_account_has_a_second_factor(stranger: Person) -> None:
    page, person = stranger.page, stranger
    email = await person.sign_up()
    begun = await call_module(page, "api.js", "call", "POST", "/api/auth/second-factor")
    first = {"body": {"code": pyotp.TOTP(begun["secret"]).now()}}
    confirmed = await call_module(page, "api.js", "call", "POST", "/api/auth/second-factor/confirm", first)
    await person.sign_out()
    await person.fill_in(email, PASSWORD)
    await expect(page.get_by_label("Code")).to_be_hidden()
    await person.button("Sign in").click()
    await expect(page.get_by_role("alert").filter(has_text="authenticator app")).to_be_visible()
    await expect(page.get_by_label("Code")).to_be_focused()
    await page.get_by_label("Code").fill("no code at all")
    await person.button("Sign in").click()
    await expect(page.get_by_role("alert").filter(has_text="is not right")).to_be_visible()
    await page.get_by_label("Code").fill(confirmed["recovery_codes"][0])
    await person.button("Sign in").click()
    await expect(person.composer).to_be_focused()


async def test_an_address_that_has_an_account_is_told(person: Person) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await person.sign_out()
    await page.get_by_role("button", name="Make one").click()
    await person.fill_in(email, PASSWORD)
    await person.button("Make an account").click()
    await expect(page.get_by_role("alert").filter(has_text="Sign in instead")).to_be_visible()


async def test_who_is_signed_in_stays_so_after_a_reload(person: Person) -> None:
    await person.page.reload()
    await expect(person.composer).to_be_focused()


async def test_the_cookie_is_out_of_reach_of_scripts(person: Person) -> None:
    assert await person.page.evaluate("document.cookie") == ""
    assert await person.page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]") == []
    (cookie,) = await person.page.context.cookies()
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")


async def test_a_session_that_ends_elsewhere_leads_to_the_sign_in(person: Person) -> None:
    await person.page.context.clear_cookies()
    await person.page.evaluate("location.hash = '#/usage'")
    await expect(person.page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_a_tab_follows_the_browser_to_another_account(
    person: Person, context: BrowserContext, api_url: str
) -> None:
    page, tab = person.page, Person(await context.new_page(), api_url)
    await tab.page.goto("/")
    await tab.sign_out()
    await page.get_by_role("button", name="Make one").click()
    email = f"{uuid4().hex}@example.com"
    await person.fill_in(email, PASSWORD)
    await person.button("Make an account").click()
    await expect(tab.page.get_by_text(email)).to_be_visible()
    email = f"{uuid4().hex}@example.com"
    await Person(await context.new_page(), api_url).arrive(email)  # signs in without telling the other tabs
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_text(email)).to_be_visible()
