"""What admins see of all users, and what they do with one."""

import httpx
from playwright.async_api import Browser, expect

from services.launcher.admins import make_admin
from tests.browser.test_account import fits_a_phone, forget_proof, reach, type_at
from tests.browser.test_databases_for_everybody import all_faults
from tests.support.chromium import watched_context
from tests.support.clients import PASSWORD
from tests.support.page import Person
from tests.support.system import System


async def become_admin(person: Person, system: System) -> str:
    """Make the person an admin, who has the link to all users from now on. Returns the person's address."""
    email = await person.page.locator(".account").inner_text()
    await expect(person.page.get_by_role("link", name="Users")).to_be_hidden()
    make_admin(system.env["DATABASE_URL"], email)
    await person.page.reload()
    await person.page.get_by_role("link", name="Users").click()
    return email


async def test_an_admin_finds_a_user_and_sets_a_quota(person: Person, system: System) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await person.sign_out()
    await person.sign_up()
    admin = await become_admin(person, system)
    users = page.get_by_role("main").get_by_role("listitem")
    await expect(users.filter(has_text=admin)).to_contain_text("Admin")
    assert await all_faults(page) == []
    assert await fits_a_phone(page)
    await reach(page, "A part of the e-mail address")
    await page.keyboard.type(email[:20].upper())
    await expect(users).to_have_count(1)
    await reach(page, email)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=email)).to_be_visible()
    forget_proof(system, admin)
    await type_at(page, "Tokens a day", "1000")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Is it you?").get_by_label("Password")).to_be_focused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="The quota is saved.")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text("1,000 tokens a day")
    assert await all_faults(page) == []
    assert await fits_a_phone(page)
    await page.goto("/#/users")
    await users.filter(has_text=admin).get_by_role("link").click()
    await expect(page.get_by_text("This is your own account.")).to_be_visible()
    await expect(person.button("Keep out")).to_have_count(0)


async def test_an_admin_makes_a_key_that_administers(person: Person, system: System) -> None:
    page = person.page
    await become_admin(person, system)
    await page.goto("/#/account/keys")
    await page.get_by_text("Make a key").click()
    await page.get_by_label("Name", exact=True).fill("Quotas")
    await page.get_by_label("Administer").check()
    await person.button("Make the key").click()
    key = await page.get_by_role("group", name="API key").inner_text()
    async with httpx.AsyncClient(base_url=person.origin, headers={"Authorization": f"Bearer {key}"}) as program:
        assert (await program.get("/api/admin/users")).is_success


async def test_an_admin_keeps_a_user_out_lets_the_user_in_again_and_deletes_the_user(
    person: Person, system: System, browser: Browser
) -> None:
    page = person.page
    async with watched_context(browser, person.origin) as (context, complaints):
        there = Person(await context.new_page(), person.origin)
        email = await there.arrive()
        await become_admin(person, system)
        await page.get_by_role("link", name=email).click()
        await person.button("Keep out").click()
        await page.get_by_role("dialog").get_by_role("button", name="Keep out").click()
        await expect(there.page.get_by_role("heading", name="Welcome back")).to_be_visible()
        assert complaints.all() == []
    await expect(person.button("Let in again")).to_be_visible()
    login = {"email": email, "password": PASSWORD}
    async with httpx.AsyncClient(base_url=person.origin) as program:
        assert (await program.post("/api/auth/login", json=login)).status_code == 401
        await person.button("Let in again").click()
        await expect(person.button("Keep out")).to_be_visible()
        assert (await program.post("/api/auth/login", json=login)).is_success
        await person.button("End all sessions").click()
        await page.get_by_role("dialog").get_by_role("button", name="End them").click()
        await expect(page.get_by_role("main")).to_contain_text("not signed in")
    await person.button("Delete").click()
    await page.keyboard.type(email)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("A part of the e-mail address")).to_be_visible()
    assert system.count("users", "email = %s", email) == 0

    await page.get_by_role("link", name="What admins did").click()
    acts = page.get_by_role("main").get_by_role("listitem")
    for words in ("kept out", "let in again", "signed out everywhere", "deleted"):
        await expect(acts.filter(has_text=words).first).to_be_visible()
    assert await all_faults(page) == []
    assert await fits_a_phone(page)
