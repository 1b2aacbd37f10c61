"""Logging in by an OpenID provider: real API processes, a double of a provider, and a browser as far as that goes."""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet

from services.api.auth.oidc.login_states import LASTS, LoginState
from services.api.auth.oidc.provider import Provider
from services.launcher.program import free_port
from shared.errors import ProviderUnavailable
from shared.oidc_providers import OidcProvider
from tests.conftest import NewSystem
from tests.doubles.oidc.server import CLIENT_ID
from tests.doubles.oidc_control import control
from tests.doubles.process import start_oidc_double
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.oidc import follow, go, log_in, log_in_there, new_email, providers
from tests.support.signed_in import NOBODY, Browser
from tests.support.system import System
from tests.support.turns import wait_for_waiters

PAGE = "text/html,application/xhtml+xml,*/*;q=0.8"
STATE_COOKIE = "__Host-cortexai-oidc"
SESSION_COOKIE = "__Host-cortexai"

MakeBrowser = Callable[[], Browser]


@pytest.fixture(scope="module")
def acme() -> Iterator[str]:
    """A provider's issuer."""
    with start_oidc_double() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    """Another provider's issuer."""
    with start_oidc_double() as issuer:
        yield issuer


@pytest.fixture(scope="module")
async def system(new_system: NewSystem, acme: str, other: str) -> System:
    """The system, whose APIs have both providers."""
    return new_system(OIDC_PROVIDERS=providers(acme=acme, other=other), LOGIN_BAD_TRIES="0")


async def started(system: System, **settings: str) -> str:
    """An API's URL, at which people reach it too."""
    port = free_port()
    return (await system.start_api(PORT=str(port), PUBLIC_URL=f"http://127.0.0.1:{port}", **settings))[1]


@pytest.fixture(scope="module")
async def api(system: System) -> str:
    """The API's URL."""
    return await started(system)


@pytest.fixture
async def make_browser(api: str) -> AsyncIterator[MakeBrowser]:
    """Makes browsers at the API."""
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=30) as http:
        yield lambda: Browser(http)


@pytest.fixture
async def browser(make_browser: MakeBrowser, acme: str) -> Browser:
    """A browser in which nobody is logged in, and a provider that is well."""
    await control(acme, reset=True)
    return make_browser()


async def me(browser: Browser) -> dict[str, Any]:
    """The account that is logged in."""
    answer = await browser.get("/api/auth/me")
    assert answer.status_code == 200, answer.text
    account: dict[str, Any] = answer.json()
    return account


def address_of_error(answer: httpx.Response) -> str:
    """What the page is told."""
    assert answer.status_code == 303
    return parse_qs(urlsplit(answer.headers["location"]).query)["oidc_error"][0]


# --- the whole way -------------------------------------------------------------------------------------------------------


async def test_a_person_logs_in_by_the_provider_and_is_the_same_one_the_next_time(
    browser: Browser, make_browser: MakeBrowser, api: str, acme: str
) -> None:
    email = new_email()
    answer = await log_in(browser, return_to="/?a=1#/chats/3", email=email, sub="ann-1")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{api}/?a=1#/chats/3")
    assert browser.cookies.keys() == {SESSION_COOKIE}
    first = await me(browser)
    assert (first["email"], first["has_password"], first["has_second_factor"]) == (email, False, False)
    again = make_browser()
    assert (await log_in(again, email="moved@elsewhere.example", email_verified=False, sub="ann-1")).status_code == 303
    assert (await me(again))["id"] == first["id"]
    (identity,) = (await browser.get("/api/auth/identities")).json()
    assert (identity["provider"], identity["name"]) == ("acme", "Acme")
    assert identity["last_used_at"] > identity["created_at"]
    asked = (await control(acme))["asked"]
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid email profile", "S256")
    assert asked["redirect_uri"] == f"{api}/api/auth/oidc/acme/callback"
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43


async def test_two_browsers_that_race_for_the_first_login_get_one_account(
    make_browser: MakeBrowser, browser: Browser, system: System
) -> None:
    email = new_email()
    browsers = [browser, *(make_browser() for _ in range(7))]
    ways = [await log_in_there(await go(each), email=email, sub=email) for each in browsers]
    answers = await asyncio.gather(*(each.get(way) for each, way in zip(browsers, ways, strict=True)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({(await me(each))["id"] for each in browsers}) == 1
    assert system.count("users", "email = %s", email) == 1
    assert system.count("oidc_identities", "subject = %s", email) == 1


async def test_the_session_that_was_there_before_ends(browser: Browser, make_browser: MakeBrowser) -> None:
    await log_in(browser, email=new_email())
    before = make_browser()
    before.cookies = dict(browser.cookies)
    await log_in(browser, email=new_email())
    assert (await before.get("/api/auth/me")).status_code == 401


# --- which account -------------------------------------------------------------------------------------------------------


async def with_password(browser: Browser, system: System, *, verified: bool) -> str:
    """An account with a password. Returns its address."""
    await browser.sign_up()
    if verified:
        system.ask("UPDATE users SET email_verified_at = now() WHERE email = %s", browser.email)
    return browser.email


async def test_an_account_with_a_verified_address_is_linked(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    email = await with_password(make_browser(), system, verified=True)
    assert (await log_in(browser, email=email.upper().replace("EXAMPLE.COM", "example.com"))).status_code == 303
    account = await me(browser)
    assert (account["email"], account["has_password"]) == (email, True)


async def test_an_account_whose_address_nobody_has_verified_is_not_linked(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    """Anybody could have signed up with it, to wait for its owner."""
    email = await with_password(make_browser(), system, verified=False)
    assert refusal_of(await log_in(browser, email=email)) == (409, "identity_not_linked")
    assert address_of_error(await log_in(browser, accept=PAGE, email=email)) == "identity_not_linked"
    assert SESSION_COOKIE not in browser.cookies
    assert system.count("oidc_identities", "user_id = (SELECT id FROM users WHERE email = %s)", email) == 0


async def test_an_address_that_only_the_database_takes_for_the_same_opens_no_account(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    """PostgreSQL's `lower` makes an `i` of `\u0130`."""
    email = await with_password(make_browser(), system, verified=False)
    system.ask("UPDATE users SET email = %s WHERE email = %s", f"i{email}", email)
    system.ask("UPDATE users SET email_verified_at = now() WHERE email = %s", f"i{email}")
    assert refusal_of(await log_in(browser, email=f"\u0130{email}")) == (409, "identity_not_linked")
    assert (await log_in(browser, email=f"I{email}")).status_code == 303
    assert (await me(browser))["email"] == f"i{email}"


async def test_nobody_can_wait_at_an_address_of_somebody_elses_with_a_verified_one_of_their_own(
    browser: Browser, make_browser: MakeBrowser
) -> None:
    mine, victims = new_email(), new_email()
    await log_in(browser, email=mine)  # the provider vouches for this address
    for address in (mine.upper(), victims):
        assert (await browser.send("PATCH", "/api/auth/me", json={"email": address})).status_code == 200
    victim = make_browser()
    assert refusal_of(await log_in(victim, email=victims)) == (409, "identity_not_linked")
    again = make_browser()
    await log_in(again, email=mine)
    assert (await me(again))["email"] == victims  # it is the identity that counts from then on


async def test_nobody_goes_around_a_second_factor_without_having_linked_the_identity(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    owner = make_browser()
    email = await with_password(owner, system, verified=True)
    await owner.log_in()
    system.ask(
        "INSERT INTO second_factors (user_id, totp_secret, confirmed_at) SELECT id, 'x', now() FROM users WHERE email = %s",
        email,
    )
    assert refusal_of(await log_in(browser, email=email)) == (409, "identity_not_linked")
    assert (await follow(owner, "link", email=email)).status_code == 303
    assert (await log_in(browser, email=email)).status_code == 303
    assert (await me(browser))["has_second_factor"]


@pytest.mark.parametrize(
    "person", [{"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}, {"email_verified": None}]
)
async def test_an_address_for_which_the_provider_does_not_vouch_makes_no_account(
    browser: Browser, system: System, person: dict[str, Any]
) -> None:
    email = new_email()
    person = {name: json.dumps(value) for name, value in person.items()}
    assert refusal_of(await log_in(browser, email=email, **person)) == (403, "identity_email_unverified")
    assert system.count("users", "email = %s", email) == 0


async def test_a_person_without_an_address_has_no_account(browser: Browser) -> None:
    assert refusal_of(await log_in(browser, sub="nobody")) == (403, "identity_email_unverified")
    assert refusal_of(await log_in(browser, email="no address")) == (403, "identity_email_unverified")


async def test_the_provider_is_asked_for_the_address_where_the_id_token_has_none(browser: Browser, acme: str) -> None:
    email = new_email()
    assert (await log_in(browser, faults="thin", email=email)).status_code == 303
    assert (await me(browser))["email"] == email
    assert (await control(acme))["counts"]["userinfo"] == 1
    await log_in(browser, faults="thin", email=email)
    assert (await control(acme))["counts"]["userinfo"] == 1
    assert refusal_of(await log_in(browser, faults="thin other_sub", email=new_email())) == (401, "identity_invalid")


async def test_the_same_subject_of_another_provider_is_somebody_else(
    browser: Browser, make_browser: MakeBrowser
) -> None:
    elsewhere = make_browser()
    await log_in(browser, email=new_email(), sub="same")
    await log_in(elsewhere, "other", email=new_email(), sub="same")
    assert (await me(browser))["id"] != (await me(elsewhere))["id"]


async def test_a_disabled_user_is_kept_out(browser: Browser, make_browser: MakeBrowser, system: System) -> None:
    email = new_email()
    await log_in(browser, email=email)
    system.ask("UPDATE users SET disabled_at = now() WHERE email = %s", email)
    stranger = make_browser()
    assert refusal_of(await log_in(stranger, email=email)) == (403, "account_disabled")
    assert refusal_of(await log_in(stranger, "other", email=email)) == (403, "account_disabled")
    assert SESSION_COOKIE not in stranger.cookies


async def test_nobody_gets_by_a_provider_into_an_account_that_the_operator_has_locked(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    email = await with_password(make_browser(), system, verified=True)
    lock = "UPDATE users SET password_hash = '!' WHERE email = %s"
    system.ask(lock, email)
    assert refusal_of(await log_in(browser, email=email)) == (403, "account_disabled")
    assert system.count("oidc_identities", "user_id = (SELECT id FROM users WHERE email = %s)", email) == 0
    system.ask("UPDATE users SET password_hash = NULL WHERE email = %s", email)
    assert (await log_in(browser, email=email)).status_code == 303
    system.ask(lock, email)
    stranger = make_browser()
    assert refusal_of(await log_in(stranger, email=email)) == (403, "account_disabled")
    assert SESSION_COOKIE not in stranger.cookies


# --- who has begun it ----------------------------------------------------------------------------------------------------


async def test_a_login_is_over_once(browser: Browser, system: System) -> None:
    back = await log_in_there(await go(browser), email=new_email())
    cookies = dict(browser.cookies)
    assert (await browser.get(back)).status_code == 303
    browser.cookies = cookies
    assert refusal_of(await browser.get(back)) == (400, "login_state_invalid")
    system.valkey.stop()  # without it, the provider alone sees to it: a code is good once
    try:
        back = await log_in_there(await go(browser), email=new_email())
        cookies = dict(browser.cookies)
        assert (await browser.get(back)).status_code == 303
        browser.cookies = cookies
        assert refusal_of(await browser.get(back)) == (401, "identity_invalid")
    finally:
        system.valkey.start()


async def test_of_two_tabs_that_begin_a_login_the_first_is_refused_and_the_other_goes_on(browser: Browser) -> None:
    first, second = [await log_in_there(await go(browser), email=new_email()) for _ in range(2)]
    assert refusal_of(await browser.get(first)) == (400, "login_state_invalid")
    assert (await browser.get(second)).status_code == 303
    assert SESSION_COOKIE in browser.cookies


async def test_a_login_goes_on_in_the_browser_alone_that_has_begun_it(
    browser: Browser, make_browser: MakeBrowser
) -> None:
    victim, stranger = browser, make_browser()
    back = await log_in_there(await go(stranger), email=new_email())
    assert refusal_of(await victim.get(back)) == (400, "login_state_invalid")
    await go(victim)  # the victim has a login of its own under way
    assert refusal_of(await victim.get(back)) == (400, "login_state_invalid")
    assert SESSION_COOKIE not in victim.cookies
    assert (await stranger.get(back)).status_code == 303


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAABh", "a" * 600])
async def test_a_cookie_that_nobody_has_sealed_is_worth_nothing(browser: Browser, sealed: str) -> None:
    back = await log_in_there(await go(browser), email=new_email())
    browser.cookies[STATE_COOKIE] = sealed
    assert refusal_of(await browser.get(back)) == (400, "login_state_invalid")


async def test_a_login_ends_where_it_was_begun(browser: Browser, other: str) -> None:
    """No answer of another provider, or for another one, is taken (mix-up)."""
    back = await log_in_there(await go(browser, "acme"), email=new_email())
    cookies = dict(browser.cookies)
    swapped = back.replace("/oidc/acme/", "/oidc/other/")
    assert refusal_of(await browser.get(swapped)) == (400, "login_state_invalid")
    browser.cookies = cookies
    parts = urlsplit(back)
    told = {name: values[0] for name, values in parse_qs(parts.query).items()}
    answer = await browser.get(parts.path, params={**told, "iss": other})
    assert refusal_of(answer) == (401, "identity_invalid")


@pytest.mark.parametrize("faults", ["wrong_iss", "no_iss"])
async def test_an_answer_names_its_issuer_where_the_provider_says_so(browser: Browser, faults: str) -> None:
    assert refusal_of(await log_in(browser, faults=faults, email=new_email())) == (401, "identity_invalid")


async def test_who_is_refused_at_the_provider_comes_back_to_the_page(browser: Browser, api: str) -> None:
    answer = await log_in(browser, faults="denied", accept=PAGE, return_to="/?b=2#/usage", email=new_email())
    assert answer.headers["location"] == f"{api}/?b=2&oidc_error=provider_refused#/usage"
    assert STATE_COOKIE not in browser.cookies
    assert refusal_of(await log_in(browser, faults="denied", email=new_email())) == (401, "provider_refused")


@pytest.mark.parametrize(
    "target",
    [
        *("https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"),
        *("/..", "/../other", "/a/..?b#c", "/a/%2E%2e/../other", "/.%2e/other"),
        *("", "evil", "/a\r\nSet-Cookie: a=b", "/a b", "/\tevil", "/" + "a" * 600, "@evil.example", "/ä"),
    ],
)
async def test_nobody_is_sent_anywhere_else(browser: Browser, target: str) -> None:
    answer = await browser.get("/api/auth/oidc/acme/login", params={"return_to": target})
    assert refusal_of(answer) == (422, "validation_failed")
    await browser.sign_up()
    await browser.log_in()
    answer = await browser.post("/api/auth/oidc/acme/link", json={"return_to": target})
    assert refusal_of(answer) == (422, "validation_failed")


async def test_a_host_that_the_request_names_leads_nobody_there(browser: Browser, api: str, acme: str) -> None:
    browser.host = "evil.example"
    answer = await browser.get("/api/auth/oidc/acme/login", headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 303
    await log_in_there(answer.headers["location"], email=new_email())
    assert (await control(acme))["asked"]["redirect_uri"].startswith(api)


async def test_no_page_of_another_site_logs_anybody_in(browser: Browser, api: str) -> None:
    """Else it could put people into an account of its own choice: their browser is known to the provider, maybe as another."""
    path = "/api/auth/oidc/acme/login"
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert refusal_of(await browser.get(path, headers=sent)) == (403, "login_from_elsewhere")
    answer = await browser.get(path, headers={**sent, "Accept": PAGE})
    assert answer.headers["location"] == f"{api}/?oidc_error=login_from_elsewhere"
    assert STATE_COOKIE not in browser.cookies
    for own in ("same-origin", "none"):
        assert (await browser.get(path, headers={"Sec-Fetch-Site": own})).status_code == 303
    # Whoever has begun here comes back from another site.
    back = await log_in_there(await go(browser), email=new_email())
    assert (await browser.get(back, headers=sent)).status_code == 303


async def test_no_page_of_a_sibling_domain_logs_anybody_in_but_a_listed_one(system: System, browser: Browser) -> None:
    listed = "https://app.example.com"
    url = await started(system, BACKEND_CORS_ORIGINS=listed)
    path = "/api/auth/oidc/acme/login"
    others = [
        *({}, {"Referer": "https://evil.example.com/"}, {"Referer": f"{listed}.evil.example.com/"}),
        *({"Referer": "http://app.example.com/"}, {"Referer": "https://[/"}, {"Referer": "https://x@app.example.com/"}),
    ]
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        at_listed = Browser(http)
        for sent in others:
            answer = await at_listed.get(path, headers={"Sec-Fetch-Site": "same-site", **sent})
            assert refusal_of(answer) == (403, "login_from_elsewhere"), sent
        came = {"Referer": f"{listed}/"}
        answer = await at_listed.get(path, headers={"Sec-Fetch-Site": "same-site", **came})
        assert answer.status_code == 303
        answer = await at_listed.get(path, headers={"Sec-Fetch-Site": "cross-site", **came})
        assert refusal_of(answer) == (403, "login_from_elsewhere")
    system.kill(system.running[-1])
    answer = await browser.get(path, headers={"Sec-Fetch-Site": "same-site", **came})
    assert refusal_of(answer) == (403, "login_from_elsewhere")  # where no origin is listed


async def test_a_provider_that_is_not_there_is_not_found(browser: Browser) -> None:
    assert refusal_of(await browser.get("/api/auth/oidc/nobody/login")) == (404, "provider_not_found")
    assert refusal_of(await browser.get("/api/auth/oidc/nobody/callback")) == (400, "login_state_invalid")


TOO_LONG = 5_000
READ = {"login": ["return_to"], "callback": ["state", "code", "iss", "error"]}
HOSTILE = ["a" * 201, "%00", "%0d%0aSet-Cookie:+a=b", "%ff", "%F0%9F%92%A9", "..%2f..%2f", "'%22%3Cscript%3E"]


@pytest.mark.parametrize("name", ["state", "code", "iss", "error", "return_to", "nobody_knows"])
@pytest.mark.parametrize("way", ["login", "callback"])
async def test_hostile_parameters_are_refused_in_words_of_ours(
    browser: Browser, system: System, way: str, name: str
) -> None:
    """Alone, behind a good state, and doubled. No value comes back, and no answer is a fault of ours."""
    for text in [*HOSTILE, "b" * TOO_LONG]:
        for query in (f"{name}={text}", f"{name}={text}&{name}={text}", f"state=x&code=y&{name}={text}"):
            answer = await browser.get(f"/api/auth/oidc/acme/{way}?{query}")
            expected = {303, 422} if way == "login" else {400, 422}
            assert answer.status_code in expected, (query[:80], answer.status_code)
            assert answer.status_code == 303 or all(said not in answer.text for said in (text, unquote_plus(text)))
            assert "a" not in browser.cookies
            if len(text) == TOO_LONG and name in READ[way]:
                assert refusal_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize("provider", ["%00", "%2e%2e", "acme%0d%0a", "ACME", "a" * 500, "acme;x=y", "%ff"])
async def test_a_provider_of_no_name_is_not_found(browser: Browser, provider: str) -> None:
    for way in ("login", "callback"):
        answer = await browser.get(f"/api/auth/oidc/{provider}/{way}?state=x&code=y")
        assert answer.status_code in {400, 404, 422}, answer.text
    for way in ("link", "reauthenticate"):
        answer = await browser.post(f"/api/auth/oidc/{provider}/{way}", json={})
        assert answer.status_code in {401, 404, 422}, answer.text


async def test_a_request_line_without_end_is_refused_and_others_are_answered(api: str, system: System) -> None:
    """A state of 10 MB."""
    port = urlsplit(api).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/auth/oidc/acme/callback?state=")
    answered = asyncio.create_task(reader.read())
    try:
        for _ in range(160):
            writer.write(b"a" * 65_536)
            await writer.drain()
        writer.write(b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        await writer.drain()
    except ConnectionError:  # it has hung up long before
        pass
    finally:
        writer.close()
    try:
        head = (await asyncio.wait_for(answered, 20)).split(b"\r\n", 1)[0]
    except ConnectionError:
        head = b""
    assert head == b"" or head.split()[1].startswith(b"4"), head
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS) as http:
        assert (await http.get("/readyz")).status_code == 200


async def test_a_login_that_took_too_long_is_over(browser: Browser, system: System) -> None:
    """The seal says when it was made, also to who keeps the cookie for longer than told."""
    back = await log_in_there(await go(browser), email=new_email())
    sealed = browser.cookies[STATE_COOKIE]
    secret = b"cortexai oidc\0" + system.env["JWT_SECRET_KEY"].encode()
    box = Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret).digest()))
    began = box.extract_timestamp(sealed)
    browser.cookies[STATE_COOKIE] = box.encrypt_at_time(box.decrypt(sealed), began - LASTS - 1).decode()
    assert refusal_of(await browser.get(back)) == (400, "login_state_invalid")
    browser.cookies[STATE_COOKIE] = box.encrypt_at_time(box.decrypt(sealed), began - LASTS + 60).decode()
    assert (await browser.get(back)).status_code == 303


# --- what the provider says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        *("wrong_nonce", "no_nonce", "wrong_aud", "wrong_azp", "no_azp", "expired", "issued_later", "other_issuer"),
        *("no_sub", "wrong_at_hash", "none", "hs256", "hs256_public", "other_key", "stray_key", "garbage"),
        "no_id_token",
    ],
)
async def test_an_id_token_that_is_not_for_this_login_is_refused(browser: Browser, system: System, faults: str) -> None:
    email = new_email()
    assert refusal_of(await log_in(browser, faults=faults, email=email)) == (401, "identity_invalid")
    assert SESSION_COOKIE not in browser.cookies
    assert system.count("users", "email = %s", email) == 0


async def test_a_token_for_others_too_is_taken_where_it_was_asked_for_by_us(browser: Browser) -> None:
    assert (await log_in(browser, faults="two_audiences", email=new_email())).status_code == 303


async def test_the_log_says_why_and_nothing_that_the_provider_said(browser: Browser, system: System) -> None:
    email = new_email()
    await log_in(browser, faults="wrong_nonce", email=email)
    words = "".join(system.words(process) for process in system.running)
    assert '"reason": "invalid_claim: nonce"' in words
    assert email not in words
    assert "code=" not in words


@pytest.mark.parametrize("faults", ["huge", "status_500", "page", "compressed"])
async def test_an_answer_that_is_none_is_told_and_the_api_goes_on(browser: Browser, api: str, faults: str) -> None:
    answer = await log_in(browser, faults=faults, email=new_email())
    assert refusal_of(answer) == (503, "provider_unavailable")
    assert (await browser.get("/readyz")).status_code == 200
    assert (await log_in(browser, email=new_email())).status_code == 303
    page = await log_in(browser, faults=faults, accept=PAGE, email=new_email())
    assert page.headers["location"] == f"{api}/?oidc_error=provider_unavailable"


@pytest.mark.parametrize(
    "token",
    [
        *([], [7], "text", 5, None, {}, {"error": ["x"]}),
        *({"access_token": "x", "expires_in": [1]}, {"access_token": "x", "expires_at": {}}),
    ],
)
async def test_a_token_that_is_none_is_no_fault_of_ours(browser: Browser, acme: str, token: object) -> None:
    await control(acme, token={"is": token})
    answer = await log_in(browser, email=new_email())
    assert refusal_of(answer) in {(401, "identity_invalid"), (503, "provider_unavailable")}


async def test_a_slow_provider_holds_up_nobody_else_and_no_connection_of_the_database(
    system: System, browser: Browser
) -> None:
    url = await started(system, DATABASE_POOL_SIZE="1")
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        slow, stranger = Browser(http), Browser(http)
        back = await log_in_there(await go(slow), "slow", email=new_email())
        waiting = asyncio.create_task(slow.get(back))
        served = 0
        while not waiting.done():
            async with asyncio.timeout(2):
                await stranger.sign_up()
            served += 1
        assert refusal_of(await waiting) == (503, "provider_unavailable")
    assert served > 3
    system.kill(system.running[-1])


async def test_new_keys_of_the_provider_are_fetched_and_not_for_anybodys_tokens(
    system: System, browser: Browser, acme: str
) -> None:
    url = await started(system)  # which has not met an unknown key lately
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        browser.http, browser.host, browser.origin = http, urlsplit(url).netloc, url
        await log_in(browser, email=new_email())
        await control(acme, rotate=True)
        assert (await log_in(browser, email=new_email())).status_code == 303
        fetched = (await control(acme))["counts"]["keys"]
        assert fetched == 2
        for _ in range(3):
            assert refusal_of(await log_in(browser, faults="stray_key", email=new_email())) == (401, "identity_invalid")
        assert (await control(acme))["counts"]["keys"] == fetched
    system.kill(system.running[-1])


async def test_a_cookie_of_the_provider_is_not_kept_for_the_next_person(browser: Browser, acme: str) -> None:
    await log_in(browser, faults="cookie", email=new_email())
    await log_in(browser, email=new_email())
    assert set((await control(acme))["cookies"]) == {""}


@pytest.mark.parametrize("fault", ["down", "slow", "huge", "page", "elsewhere"])
async def test_an_api_starts_and_serves_while_its_provider_is_out_of_order(
    system: System, acme: str, browser: Browser, fault: str
) -> None:
    await control(acme, discovery=fault)
    url = await started(system)
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        stranger = Browser(http)
        first = stranger.get("/api/auth/oidc/acme/login")
        second = stranger.get("/api/auth/oidc/acme/login", headers={"Accept": PAGE})
        assert refusal_of(await first) == (503, "provider_unavailable")
        asked = (await control(acme))["counts"]["discovery"]
        assert address_of_error(await second) == "provider_unavailable"
        assert (await control(acme))["counts"]["discovery"] == asked  # not at once again
        assert (await http.get("/readyz")).status_code == 200
        options = (await http.get("/api/auth/options")).json()
        assert [each["id"] for each in options["providers"]] == ["acme", "other"]
    system.kill(system.running[-1])


async def test_a_provider_that_is_well_again_is_asked_once_its_pause_is_over(acme: str) -> None:
    now = 1000.0
    settings = OidcProvider(id="acme", name="Acme", issuer=acme, client_id=CLIENT_ID)
    provider = Provider(
        settings, "https://chat.example.com/", leeway=10, tls=ssl.create_default_context(), clock=lambda: now
    )
    state = LoginState("acme", "login", "/")
    await control(acme, discovery="page")
    try:
        with pytest.raises(ProviderUnavailable):
            await provider.address_for(state)
        await control(acme, reset=True)
        with pytest.raises(ProviderUnavailable):
            await provider.address_for(state)
        assert (await control(acme))["counts"] == {}
        now += 1
        assert (await provider.address_for(state)).startswith(f"{acme}/authorize?")
    finally:
        await provider.close()


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": None},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": 7},
    ],
)
async def test_a_document_that_can_not_be_trusted_is_not_used(
    system: System, acme: str, browser: Browser, document: dict[str, Any]
) -> None:
    await control(acme, document=document)
    url = await started(system)
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        answer = await Browser(http).get("/api/auth/oidc/acme/login")
        assert refusal_of(answer) == (503, "provider_unavailable")
    system.kill(system.running[-1])


# --- identities of an account --------------------------------------------------------------------------------------------


async def test_an_identity_is_linked_by_who_is_logged_in_and_by_nobody_else(
    browser: Browser, make_browser: MakeBrowser, api: str
) -> None:
    await browser.sign_up()
    await browser.log_in()
    answer = await follow(browser, "link", sub="linked-1", email=new_email(), email_verified=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{api}/#/account")
    again = make_browser()
    await log_in(again, sub="linked-1")
    assert (await me(again))["email"] == browser.email
    assert (await follow(browser, "link", sub="linked-1")).status_code == 303  # once more changes nothing
    stranger = make_browser()
    await stranger.sign_up()
    await stranger.log_in()
    assert refusal_of(await follow(stranger, "link", sub="linked-1")) == (409, "identity_taken")
    nobody = make_browser()
    assert (await nobody.post("/api/auth/oidc/acme/link", json={})).status_code == 401


async def test_linking_needs_a_recent_authentication_and_the_session_that_began_it(
    browser: Browser, system: System
) -> None:
    await browser.sign_up()
    await browser.log_in()
    begun = (await browser.post("/api/auth/oidc/acme/link", json={})).json()["url"]
    back = await log_in_there(begun, sub="late")
    state = browser.cookies[STATE_COOKIE]
    await browser.post("/api/auth/logout")
    await browser.log_in()
    browser.cookies[STATE_COOKIE] = state
    assert refusal_of(await browser.get(back)) == (401, "session_invalid")
    system.ask("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    answer = await browser.post("/api/auth/oidc/acme/link", json={})
    assert refusal_of(answer) == (403, "reauthentication_required")


async def test_nobody_links_whose_session_is_ended_meanwhile(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    await browser.sign_up()
    await browser.log_in()
    thief = make_browser()
    thief.cookies = dict(browser.cookies)
    url = (await thief.post("/api/auth/oidc/acme/link", json={})).json()["url"]
    back = await log_in_there(url, sub="thief")
    with psycopg.connect(system.database_url) as other:
        # As another password is set: the account first, then its sessions.
        other.execute("SELECT FROM users WHERE email = %s FOR UPDATE", [browser.email])
        linking = asyncio.create_task(thief.get(back))
        await asyncio.to_thread(wait_for_waiters, other, 1)
        other.execute("DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = %s)", [browser.email])
    assert refusal_of(await linking) == (401, "session_invalid")
    assert system.count("oidc_identities", "subject = 'thief'") == 0


async def test_an_identity_that_is_taken_away_meanwhile_begins_no_session(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    await log_in(browser, email=new_email(), sub="lost")
    thief = make_browser()
    back = await log_in_there(await go(thief), sub="lost")
    owner = [(await me(browser))["id"]]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(system.database_url, autocommit=True) as look, psycopg.connect(system.database_url) as remover:

        def remove() -> None:
            with remover:
                remover.execute("UPDATE users SET credentials_version = credentials_version + 1 WHERE id = %s", owner)
                remover.execute("DELETE FROM oidc_identities WHERE user_id = %s", owner)

        def is_done_or_waits() -> None:
            while not removing.done() and look.execute(waiting).fetchone() != (2,):
                pass

        with psycopg.connect(system.database_url) as other:
            # Who reads credentials reads of the second factor too, and waits here: the identity has been found by then.
            other.execute("LOCK TABLE second_factors IN ACCESS EXCLUSIVE MODE")
            logging_in = asyncio.create_task(thief.get(back))
            await asyncio.to_thread(wait_for_waiters, look, 1)
            removing = asyncio.create_task(asyncio.to_thread(remove))
            await asyncio.to_thread(is_done_or_waits)
        await removing
        answer = await logging_in
    assert refusal_of(answer) == (401, "credentials_invalid")
    assert SESSION_COOKIE not in thief.cookies


async def test_the_owner_is_told_of_identities_that_come_and_go(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    def told(email: str) -> list[tuple[object, ...]]:
        return system.ask(
            "SELECT kind FROM account_mails WHERE address = %s AND kind LIKE 'identity%%' ORDER BY id", email
        )

    email = await with_password(make_browser(), system, verified=True)
    await log_in(browser, email=email)
    assert told(email) == [("identity_linked",)]
    await log_in(browser, email=email)
    await follow(browser, "link", "other", sub="told")
    await follow(browser, "link", "other", sub="told")  # once more changes nothing
    assert told(email) == [("identity_linked",)] * 2
    identity = (await browser.get("/api/auth/identities")).json()[1]
    assert (await browser.send("DELETE", f"/api/auth/identities/{identity['id']}")).status_code == 204
    assert told(email) == [*[("identity_linked",)] * 2, ("identity_removed",)]
    newcomer, email = make_browser(), new_email()
    await log_in(newcomer, email=email)
    assert told(email) == []


async def test_an_identity_is_taken_away_but_not_the_last_way_in(
    browser: Browser, make_browser: MakeBrowser, system: System
) -> None:
    email = new_email()
    await log_in(browser, email=email)
    (identity,) = (await browser.get("/api/auth/identities")).json()
    path = f"/api/auth/identities/{identity['id']}"
    assert refusal_of(await browser.send("DELETE", path)) == (409, "last_way_in")
    await follow(browser, "link", "other", email=email)
    elsewhere = make_browser()
    await log_in(elsewhere, email=email)
    stranger = make_browser()
    await log_in(stranger, email=new_email())
    assert refusal_of(await stranger.send("DELETE", path)) == (404, "identity_not_found")
    assert (await browser.send("DELETE", path)).status_code == 204
    assert (await elsewhere.get("/api/auth/me")).status_code == 401
    assert [each["provider"] for each in (await browser.get("/api/auth/identities")).json()] == ["other"]
    assert system.count("oidc_identities", "id = %s", identity["id"]) == 0


async def test_no_other_page_begins_a_link_in_this_browser(browser: Browser) -> None:
    """By a token of its own: who logs in at the provider then would link the identity to the account of the token."""
    await browser.sign_up()
    token = (await browser.post("/api/auth/login", json={"email": browser.email, "password": PASSWORD})).json()
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    for way in ("link", "reauthenticate"):
        for origin in ("http://localhost:3000", "https://evil.example", "null"):
            refused = await browser.post(f"/api/auth/oidc/acme/{way}", origin=origin, headers=bearer, json={})
            assert refusal_of(refused) == (403, "origin_not_allowed")
            assert "set-cookie" not in refused.headers
        begun = await browser.post(f"/api/auth/oidc/acme/{way}", origin=NOBODY, headers=bearer, json={})
        assert begun.status_code == 200  # a program's


async def test_an_account_has_a_bounded_number_of_identities(browser: Browser, system: System) -> None:
    await log_in(browser, email=new_email())
    me_id = (await me(browser))["id"]
    filling = (
        "INSERT INTO oidc_identities (user_id, issuer, subject) SELECT %s, 'x', n::text FROM generate_series(1, 19) n"
    )
    system.ask(filling, me_id)
    assert refusal_of(await follow(browser, "link", sub="one-more")) == (409, "too_many_identities")
    assert system.count("oidc_identities", "user_id = %s", me_id) == 20


# --- without a password --------------------------------------------------------------------------------------------------


async def test_who_has_no_password_proves_by_the_provider_who_they_are(
    browser: Browser, system: System, acme: str
) -> None:
    email = new_email()
    await log_in(browser, faults="no_auth_time", email=email)  # it may have asked for nothing
    assert refusal_of(await browser.send("DELETE", "/api/auth/me")) == (403, "reauthentication_required")
    wrong = await browser.post("/api/auth/reauthenticate", json={"password": PASSWORD})
    assert refusal_of(wrong) == (403, "password_mismatch")
    for faults in ("no_auth_time", "long_ago"):
        answer = await follow(browser, "reauthenticate", faults=faults, email=email)
        assert refusal_of(answer) == (403, "identity_not_fresh")
    assert refusal_of(await follow(browser, "reauthenticate", email=new_email())) == (403, "identity_mismatch")
    assert refusal_of(await browser.send("DELETE", "/api/auth/me")) == (403, "reauthentication_required")
    assert (await follow(browser, "reauthenticate", email=email)).status_code == 303
    asked = (await control(acme))["asked"]
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert json.loads(asked["claims"]) == {"id_token": {"auth_time": {"essential": True}}}
    assert (await browser.send("DELETE", "/api/auth/me")).status_code == 204
    assert system.count("oidc_identities", "user_id NOT IN (SELECT id FROM users)") == 0
    assert system.count("users", "email = %s", email) == 0


async def test_a_login_that_the_provider_has_just_asked_for_is_a_recent_one_and_another_is_not(
    browser: Browser, make_browser: MakeBrowser
) -> None:
    recent, old = browser, make_browser()
    await log_in(recent, email=new_email())
    await log_in(old, faults="long_ago", email=new_email())
    key = {"name": "a key", "scopes": ["read"]}
    assert (await recent.post("/api/auth/keys", json=key)).status_code == 201
    assert refusal_of(await old.post("/api/auth/keys", json=key)) == (403, "reauthentication_required")


async def test_an_account_without_a_password_is_like_no_account_to_who_tries_passwords(browser: Browser) -> None:
    email = new_email()
    await log_in(browser, email=email)
    for password in (PASSWORD, "!", ""):
        answer = await browser.post("/api/auth/login", json={"email": email, "password": password})
        assert refusal_of(answer) == (401, "credentials_invalid")
    taken = await browser.post("/api/auth/signup", json={"email": email, "password": PASSWORD})
    assert refusal_of(taken) == (409, "email_taken")


# --- passwords off -------------------------------------------------------------------------------------------------------


async def test_no_route_takes_a_password_where_passwords_are_off(system: System, browser: Browser) -> None:
    await browser.sign_up()
    await browser.log_in()
    url = await started(system, PASSWORD_LOGIN="off")
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        off = Browser(http)
        options = (await off.get("/api/auth/options")).json()
        assert (options["password"], options["signup"], options["mail"]) == (False, "open", False)
        new = {"email": new_email(), "password": PASSWORD}
        assert refusal_of(await off.post("/api/auth/signup", json=new)) == (403, "password_login_off")
        assert refusal_of(await off.log_in(browser.email)) == (403, "password_login_off")
        off.cookies = dict(browser.cookies)  # a session that was begun before goes on
        assert (await me(off))["email"] == browser.email
        change = {"current_password": PASSWORD, "new_password": "another long one"}
        assert refusal_of(await off.post("/api/auth/password", json=change)) == (403, "password_login_off")
        proof = {"password": PASSWORD}
        assert refusal_of(await off.post("/api/auth/reauthenticate", json=proof)) == (403, "password_login_off")
        forgotten = {"email": browser.email}
        assert refusal_of(await off.post("/api/auth/password/forgot", json=forgotten)) == (403, "password_login_off")
        reset = {"token": "a" * 43, "password": PASSWORD}
        assert refusal_of(await off.post("/api/auth/password/reset", json=reset)) == (403, "password_login_off")
        off.cookies = {}
        assert (await log_in(off, email=new_email())).status_code == 303
        (identity,) = (await off.get("/api/auth/identities")).json()
        answer = await off.send("DELETE", f"/api/auth/identities/{identity['id']}")
        assert refusal_of(answer) == (409, "last_way_in")


@pytest.mark.parametrize(("mode", "code"), [("closed", "signup_closed"), ("invite", "invite_required")])
async def test_a_provider_makes_no_account_where_nobody_may_sign_up(
    system: System, browser: Browser, mode: str, code: str
) -> None:
    known = new_email()
    assert (await log_in(browser, email=known, sub=known)).status_code == 303
    url = await started(system, SIGNUP_MODE=mode)
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        stranger, other = Browser(http), new_email()
        assert refusal_of(await log_in(stranger, email=other, sub=other)) == (403, code)
        assert (await log_in(stranger, email=known, sub=known)).status_code == 303  # has an account
        assert (await me(stranger))["email"] == known


async def test_another_tab_that_has_just_linked_the_identity_makes_nobody_a_newcomer(
    system: System, browser: Browser
) -> None:
    email = await with_password(browser, system, verified=True)
    url = await started(system, SIGNUP_MODE="closed")
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        tabs = [Browser(http), Browser(http)]
        ways = [await log_in_there(await go(tab), email=email) for tab in tabs]
        with psycopg.connect(system.database_url) as other:
            other.execute("SELECT FROM users WHERE email = %s FOR UPDATE", [email])
            answers = asyncio.gather(*(tab.get(way) for tab, way in zip(tabs, ways, strict=True)))
            await asyncio.to_thread(wait_for_waiters, other, 2)
        assert [answer.status_code for answer in await answers] == [303, 303]
    system.kill(system.running[-1])
    assert system.count("oidc_identities", "user_id = (SELECT id FROM users WHERE email = %s)", email) == 1


async def test_the_options_tell_no_secret(browser: Browser, acme: str) -> None:
    options = (await browser.get("/api/auth/options")).json()
    assert options == {
        "signup": "open",
        "mail": False,
        "password": True,
        "providers": [{"id": "acme", "name": "Acme"}, {"id": "other", "name": "Other"}],
    }
    assert acme
