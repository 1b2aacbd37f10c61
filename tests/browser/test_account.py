"""The account on the page: its address, its password, its second factor, its sessions and keys, and its end."""

import base64
from pathlib import Path

import httpx
import pyotp
import zxingcpp
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.browser.test_databases_for_everybody import all_faults
from tests.support.chromium import watched_context
from tests.support.clients import PASSWORD
from tests.support.databases_on_page import call
from tests.support.page import Person, hold_next, pass_event
from tests.support.system import System

NEW_PASSWORD = "another good battery"
FOCUSED = """() => {
    const one = document.activeElement;
    return one.ariaLabel ?? one.labels?.[0]?.textContent ?? one.textContent;
}"""
PIXELS = """async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    return [image.height, image.width, Array.from({ length: data.length / 4 }, (_, at) => data[4 * at + 1])];
}"""


async def open_account(person: Person, tab: str | None = None) -> None:
    """Go to the account, by what the list at the side shows of it, and to one of its tabs."""
    await person.page.get_by_role("link", name="Account").first.click()
    if tab is not None:
        await person.page.get_by_role("navigation", name="Account").get_by_role("link", name=tab).click()
        await expect(person.page.get_by_role("heading", name=tab)).to_be_visible()


async def reach(page: Page, name: str) -> None:
    """Go to what has this name, by the Tab key alone."""
    for _ in range(60):
        if await page.evaluate(FOCUSED) == name:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not lead to {name}")


async def type_at(page: Page, name: str, text: str) -> None:
    """Put a text into a field in place of what is there, by the keyboard alone."""
    await reach(page, name)
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type(text)


async def read_qr_code(picture: Locator) -> str:
    """What a reader of QR codes finds in the picture, as it is seen on the screen."""
    source = f"data:image/png;base64,{base64.b64encode(await picture.screenshot()).decode()}"
    height, width, pixels = await picture.page.evaluate(PIXELS, source)
    (found,) = zxingcpp.read_barcodes(memoryview(bytes(pixels)).cast("B", (height, width)))
    return found.text


def forget_proof(system: System, email: str) -> None:
    """Make as if somebody had signed in an hour ago."""
    whose = "user_id = (SELECT id FROM users WHERE email = %s)"
    system.ask(f"UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE {whose}", email)  # noqa: S608 - words of ours


async def fits_a_phone(page: Page) -> bool:
    """Whether nothing is wider than a phone."""
    was = page.viewport_size
    assert was is not None
    await page.set_viewport_size({"width": 375, "height": 740})
    width = await page.evaluate("document.documentElement.scrollWidth")
    await page.set_viewport_size(was)
    return bool(width == 375)


async def test_a_second_factor_is_switched_on_by_a_picture(person: Person, tmp_path: Path) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await open_account(person)
    await person.button("Switch on").click()
    uri = await read_qr_code(page.get_by_role("img", name="QR code"))
    secret = page.get_by_role("group", name="Secret for the app")
    totp = pyotp.TOTP((await secret.inner_text()).replace(" ", ""))
    assert uri == totp.provisioning_uri(name=email, issuer_name="CortexAI")
    assert await all_faults(page) == []
    assert await fits_a_phone(page)

    code = page.get_by_label("Code of the app")
    await code.fill("no code")
    await person.button("Confirm").click()
    await expect(page.get_by_role("alert").filter(has_text="This code is not right")).to_be_visible()
    await expect(code).to_be_focused()
    await code.fill(totp.now())
    await code.press("Enter")
    codes = page.get_by_role("group", name="Recovery codes")
    told = (await codes.inner_text()).split()
    assert len(told) == 10
    await person.button("Copy").click()
    assert (await page.evaluate("navigator.clipboard.readText()")).split() == told
    async with page.expect_download() as saved:
        await person.button("Save as a file").click()
    await (await saved.value).save_as(tmp_path / "codes")
    assert (tmp_path / "codes").read_text().split() == told
    assert await all_faults(page) == []
    assert await fits_a_phone(page)

    await page.reload()
    await expect(page.get_by_text("10 recovery codes are left")).to_be_visible()
    await expect(codes).to_have_count(0)
    await person.sign_out()
    await person.fill_in(email, PASSWORD)
    await person.button("Sign in").click()
    await page.get_by_label("Code").fill(told[0])
    await person.button("Sign in").click()
    await expect(person.composer).to_be_focused()
    await open_account(person)
    await expect(page.get_by_text("9 recovery codes are left")).to_be_visible()


async def test_recovery_codes_are_renewed_and_a_second_factor_is_switched_off(person: Person) -> None:
    page = person.page
    begun = await call(person, "POST", "/api/auth/second-factor")
    first = {"code": pyotp.TOTP(begun["secret"]).now()}
    told = (await call(person, "POST", "/api/auth/second-factor/confirm", first))["recovery_codes"]
    await open_account(person)
    await person.button("New recovery codes").click()
    await page.get_by_role("dialog").get_by_role("button", name="Get new ones").click()
    renewed = (await page.get_by_role("group", name="Recovery codes").inner_text()).split()
    assert not set(renewed) & set(told)
    await person.button("I have kept them").click()
    await expect(person.button("New recovery codes")).to_be_focused()

    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Switch the second factor off?")
    await page.keyboard.type(told[0])
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert").filter(has_text="This code is not right")).to_be_visible()
    assert await all_faults(page) == []
    await type_at(page, "Code", renewed[0])
    await page.keyboard.press("Enter")
    await expect(person.button("Switch on")).to_be_focused()
    assert (await call(person, "GET", "/api/auth/me"))["has_second_factor"] is False


async def test_an_address_is_changed_after_the_password_is_proved_again(person: Person, system: System) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await page.get_by_role("link", name="Account").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("E-mail address")).to_have_value(email)
    assert await all_faults(page) == []
    assert await fits_a_phone(page)

    forget_proof(system, email)
    dialog = page.get_by_role("dialog", name="Is it you?")
    await type_at(page, "E-mail address", f"new-{email}")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_label("Password")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.locator(".account")).to_have_text(email)
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_label("Password")).to_be_focused()
    await page.keyboard.type("not my password")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert").filter(has_text="is not right")).to_be_visible()
    await expect(dialog.get_by_label("Password")).to_be_focused()
    assert await all_faults(page) == []
    await type_at(page, "Password", PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="The address is changed.")).to_be_visible()
    await expect(page.locator(".account")).to_have_text(f"new-{email}")

    await reach(page, "Time zone")
    await page.keyboard.type("Europe/Ber")
    await reach(page, "Save the time zone")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="saved")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    await expect(page.get_by_label("E-mail address")).to_have_value(f"new-{email}")


async def test_what_was_read_before_a_change_of_the_account_does_not_undo_it(person: Person) -> None:
    page = person.page
    await open_account(person)
    zone = page.get_by_label("Time zone")
    await expect(zone).to_be_visible()
    held = await hold_next(page, "**/api/auth/me")
    await pass_event(page, {"type": "resync"})
    await held.is_there.wait()
    await zone.select_option("Europe/Berlin")
    async with page.expect_response(lambda response: response.request.method == "PATCH"):
        await person.button("Save the time zone").click()
    async with page.expect_response("**/api/auth/me"):
        held.go_on.set()
    await expect(page.get_by_role("status").filter(has_text="saved")).to_be_visible()
    await page.evaluate("new Promise(requestAnimationFrame)")
    await expect(zone).to_have_value("Europe/Berlin")


async def test_a_password_is_changed_and_what_is_wrong_with_one_is_said_beside_it(person: Person) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    begun = await call(person, "POST", "/api/auth/second-factor")
    first = {"code": pyotp.TOTP(begun["secret"]).now()}
    codes = (await call(person, "POST", "/api/auth/second-factor/confirm", first))["recovery_codes"]
    login = {"email": email, "password": PASSWORD, "code": codes[0]}
    async with httpx.AsyncClient(base_url=person.origin) as program:
        token = (await program.post("/api/auth/login", json=login)).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        await open_account(person)
        await person.button("Change the password").click()
        await expect(page.get_by_label("Present password")).to_be_focused()
        await type_at(page, "Present password", PASSWORD)
        section = page.get_by_role("region", name="Password")
        for password, words in (("short", "too short"), ("password1", "Many people"), (PASSWORD, "that you have")):
            await type_at(page, "New password", password)
            await reach(page, "Code")
            await page.keyboard.type("123123")
            await page.keyboard.press("Enter")
            field = section.locator(".field", has=page.get_by_label("New password"))
            await expect(field.get_by_role("alert").filter(has_text=words)).to_be_visible()
            await expect(page.get_by_label("New password")).to_be_focused()
        assert await all_faults(page) == []
        await type_at(page, "New password", NEW_PASSWORD)
        await page.keyboard.press("Enter")
        await expect(section.get_by_role("alert").filter(has_text="This code is not right")).to_be_visible()
        assert (await program.get("/api/auth/me", headers=bearer)).is_success
        await type_at(page, "Code", codes[1])
        await page.keyboard.press("Enter")
        await expect(section.get_by_role("status").filter(has_text="The password is changed.")).to_be_visible()
        assert (await program.get("/api/auth/me", headers=bearer)).status_code == 401
        changed = {**login, "password": NEW_PASSWORD, "code": codes[2]}
        assert (await program.post("/api/auth/login", json=changed)).is_success


async def test_an_account_is_deleted_after_its_address_is_typed(person: Person, system: System) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    await open_account(person)
    await expect(person.button("Delete the account")).to_be_visible()
    await reach(page, "Delete the account")
    await page.keyboard.press("Enter")
    await page.keyboard.type("somebody@example.com")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="not the address of this account")).to_be_visible()
    assert await all_faults(page) == []
    forget_proof(system, email)
    await type_at(page, "Your e-mail address", email.upper())
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Is it you?").get_by_label("Password")).to_be_focused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert system.count("users", "email = %s", email) == 0


async def test_an_account_without_a_password_has_nothing_that_needs_one(person: Person, system: System) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()

    async def without_password(route: Route) -> None:
        response = await route.fetch()
        body = await response.json()
        await route.fulfill(response=response, json={**body, "has_password": False} if response.ok else body)

    await page.route("**/api/auth/me", without_password)
    await open_account(person)
    await expect(page.get_by_role("heading", name="Delete the account")).to_be_visible()
    for name in ("Password", "Second factor"):
        await expect(page.get_by_role("heading", name=name)).to_be_hidden()
    forget_proof(system, email)
    await page.get_by_label("E-mail address").fill(f"new-{email}")
    await person.button("Change the address").click()
    await expect(page.get_by_text("No provider that is linked to your account is there")).to_be_visible()
    assert await all_faults(page) == []
    assert system.count("users", "email = %s", email) == 1


async def test_a_session_that_is_ended_here_is_thrown_out_there(person: Person, browser: Browser) -> None:
    page = person.page
    email = await page.locator(".account").inner_text()
    async with watched_context(browser, person.origin) as (context, complaints):
        there = Person(await context.new_page(), person.origin)
        await there.page.goto("/")
        await there.fill_in(email, PASSWORD)
        await there.button("Sign in").click()
        await expect(there.composer).to_be_focused()
        await open_account(person, "Sessions")
        sessions = page.get_by_role("main").get_by_role("listitem")
        await expect(sessions).to_have_count(2)
        await expect(sessions.first).to_contain_text("This one")
        await expect(sessions.nth(1)).to_contain_text("Chrome on Linux")
        await sessions.nth(1).get_by_role("button", name="End the session of Chrome on Linux").click()
        await expect(there.page.get_by_role("heading", name="Welcome back")).to_be_visible()
        await expect(sessions).to_have_count(1)
        await expect(page.locator("#announcer")).to_have_text("The session of Chrome on Linux has ended.")
        await expect(person.button("End all others")).to_be_hidden()
        assert complaints.all() == []

    login = {"email": email, "password": PASSWORD}
    async with httpx.AsyncClient(base_url=person.origin, headers={"User-Agent": "nightly/1.0"}) as program:
        tokens = [(await program.post("/api/auth/login", json=login)).json()["access_token"] for _ in range(2)]
        await page.reload()
        await expect(sessions).to_have_count(3)
        await expect(sessions.nth(2)).to_contain_text("nightly/1.0")
        assert await all_faults(page) == []
        assert await fits_a_phone(page)
        await reach(page, "End all others")
        await page.keyboard.press("Enter")
        await reach(page, "End them")
        await page.keyboard.press("Enter")
        await expect(sessions).to_have_count(1)
        for token in tokens:
            refused = await program.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
            assert refused.status_code == 401
    await page.reload()
    await expect(sessions).to_have_count(1)


async def test_a_key_is_shown_once_works_is_renamed_and_deleted(person: Person) -> None:
    page = person.page
    await open_account(person, "API keys")
    await reach(page, "Make a key")
    await page.keyboard.press("Enter")
    await type_at(page, "Name", "Nightly report")
    await reach(page, "Read")
    await page.keyboard.press("Space")
    await reach(page, "Make the key")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="Choose at least one.")).to_be_visible()
    assert await all_faults(page) == []
    assert await fits_a_phone(page)
    await page.keyboard.press("Space")
    await reach(page, "Good for")
    await page.keyboard.type("30")
    await reach(page, "Make the key")
    await page.keyboard.press("Enter")
    shown = page.get_by_role("group", name="API key")
    await expect(page.get_by_role("heading", name="The key “Nightly report”")).to_be_focused()
    key = await shown.inner_text()
    await person.button("Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == key
    assert await all_faults(page) == []
    assert await fits_a_phone(page)

    async with httpx.AsyncClient(base_url=person.origin, headers={"Authorization": f"Bearer {key}"}) as program:
        assert (await program.get("/api/chats")).is_success
        refused = await program.post("/api/chats", json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        await page.reload()
        item = page.get_by_role("main").get_by_role("listitem")
        await expect(item).to_contain_text(key[:8])
        await expect(item).to_contain_text("last used")
        assert key not in await page.content()
        await person.button("Rename “Nightly report”").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("Weekly report")
        await page.keyboard.press("Enter")
        await expect(item).to_contain_text("Weekly report")
        await person.button("Delete “Weekly report”").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("There are no keys.")).to_be_visible()
        assert (await program.get("/api/chats")).json()["code"] == "key_invalid"
