"""The second factor: switching it on and off, logging in with it, and what is kept of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
from cryptography.fernet import Fernet
from passlib.hash import bcrypt_sha256
from redis.asyncio import Redis

from services.api.auth.passwords import rounds_of
from services.launcher.checks import data_sources
from services.launcher.cli import run
from services.launcher.embedded.valkey import EmbeddedValkey
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.integration.routes.conftest import NOBODY
from tests.support.clients import NO_TLS, PASSWORD, refusal_of
from tests.support.databases import as_app
from tests.support.signed_in import Browser, logged_in_browser
from tests.support.turns import execute

KEY = Fernet.generate_key().decode()
PATH = "/api/auth/second-factor"
NO_CODE = "0000-0000-0000-0000-0000-0000"
LIMITS = {"login_bad_tries": 4, "login_bad_tries_of_network": 0, "login_bad_tries_at_account": 0}


class Phone:
    """An authenticator app with the secret of an account."""

    def __init__(self, browser: Browser, database_url: str) -> None:
        self.browser = browser
        self.database_url = database_url
        self.secret = ""
        self.recovery_codes: list[str] = []

    @property
    def code(self) -> str:
        """The code that the app shows."""
        return pyotp.TOTP(self.secret).now()

    @property
    def wrong_code(self) -> str:
        """A code that the app has not shown lately, and shows no time soon."""
        near = {pyotp.TOTP(self.secret).at(time.time() + 30 * step) for step in range(-4, 5)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)

    def wait(self) -> None:
        """Have the codes so far be forgotten, as if the app showed another one by now."""
        execute(self.database_url, "UPDATE second_factors SET last_step = NULL")

    async def switch_on(self) -> None:
        """Read the QR code, and confirm the app's first code."""
        self.secret = (await self.browser.post(PATH)).raise_for_status().json()["secret"]
        confirmed = await self.browser.post(f"{PATH}/confirm", json={"code": self.code})
        self.recovery_codes = confirmed.raise_for_status().json()["recovery_codes"]


def settings_with(database_url: str, valkey: EmbeddedValkey, **others: object) -> Settings:
    """With second factors, and names of its own in Redis."""
    return settings_for(database_url, valkey.url, NOBODY, redis_prefix=f"{uuid4().hex}:", **others)


@pytest.fixture(scope="module")
async def api(database_url: str, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    async with serve(settings_with(database_url, valkey, data_source_keys=KEY)) as url:
        yield url


@pytest.fixture(scope="module")
def strict_settings(database_url: str, valkey: EmbeddedValkey) -> Settings:
    """Of an API that takes four wrong passwords a minute."""
    return settings_with(database_url, valkey, data_source_keys=KEY, **LIMITS)


@pytest.fixture
async def strict(strict_settings: Settings, database_url: str) -> AsyncIterator[Phone]:
    """The app of a new user of that API."""
    async with serve(strict_settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as opened:
        made = Phone(await logged_in_browser(opened), database_url)
        await made.switch_on()
        yield made


async def wait_a_minute(settings: Settings) -> None:
    """Forget the counts of wrong passwords from a network, as Redis does after a minute."""
    async with Redis.from_url(settings.stream_redis_url) as redis:
        names = [name async for name in redis.scan_iter(f"{settings.redis_prefix}cortexai:tries:pair:*")]
        assert names
        await redis.delete(*names)


@pytest.fixture
async def phone(http: httpx.AsyncClient, database_url: str) -> Phone:
    """The app of a new user, who has logged in by a browser and switched the second factor on."""
    made = Phone(await logged_in_browser(http), database_url)
    await made.switch_on()
    return made


async def log_in(phone: Phone, **body: Any) -> httpx.Response:  # noqa: ANN401
    """Log in for a token, from elsewhere."""
    credentials = {"email": phone.browser.email, "password": PASSWORD, **body}
    return await phone.browser.http.post("/api/auth/login", json=credentials)


async def me(browser: Browser) -> tuple[bool, int]:
    """Whether the account has a second factor, and how many recovery codes are left."""
    told = (await browser.get("/api/auth/me")).raise_for_status().json()
    return told["has_second_factor"], told["recovery_codes_left"]


async def test_a_secret_is_active_when_its_first_code_has_confirmed_it(
    http: httpx.AsyncClient, database_url: str
) -> None:
    browser = await logged_in_browser(http)
    phone = Phone(browser, database_url)
    begun = (await browser.post(PATH)).raise_for_status().json()
    assert begun["uri"].startswith("otpauth://totp/CortexAI:")
    assert f"secret={begun['secret']}" in begun["uri"]
    assert await me(browser) == (False, 0)
    assert (await log_in(phone)).status_code == 200
    phone.secret = begun["secret"]
    wrong = await browser.post(f"{PATH}/confirm", json={"code": phone.wrong_code})
    assert refusal_of(wrong) == (403, "code_mismatch")
    confirmed = await browser.post(f"{PATH}/confirm", json={"code": phone.code})
    assert confirmed.status_code == 200
    assert len(set(confirmed.json()["recovery_codes"])) == 10
    assert await me(browser) == (True, 10)
    assert refusal_of(await log_in(phone)) == (401, "second_factor_required")


async def test_a_secret_that_was_never_confirmed_gives_way_to_a_new_one(http: httpx.AsyncClient) -> None:
    browser = await logged_in_browser(http)
    first, second = [(await browser.post(PATH)).json()["secret"] for _ in range(2)]
    assert first != second
    late = await browser.post(f"{PATH}/confirm", json={"code": pyotp.TOTP(first).now()})
    assert refusal_of(late) == (403, "code_mismatch")
    right = await browser.post(f"{PATH}/confirm", json={"code": pyotp.TOTP(second).now()})
    assert right.status_code == 200


async def test_what_is_not_begun_or_is_there_already_is_a_conflict(http: httpx.AsyncClient, phone: Phone) -> None:
    stranger = await logged_in_browser(http)
    for method, path, body in (
        ("POST", f"{PATH}/confirm", {"code": "123456"}),
        ("POST", f"{PATH}/recovery-codes", None),
        ("DELETE", PATH, {"code": "123456"}),
    ):
        refused = await stranger.send(method, path, json=body)
        assert refusal_of(refused) == (409, "second_factor_absent"), path
    assert refusal_of(await phone.browser.post(PATH)) == (409, "second_factor_present")
    again = await phone.browser.post(f"{PATH}/confirm", json={"code": phone.code})
    assert refusal_of(again) == (409, "second_factor_absent")


async def test_one_logs_in_with_the_password_and_a_code(phone: Phone) -> None:
    http, email = phone.browser.http, phone.browser.email
    phone.wait()
    form = {"username": email, "password": PASSWORD, "code": phone.code}
    assert (await http.post("/api/auth/login", data=form)).json()["token_type"] == "bearer"
    phone.wait()
    assert (await log_in(phone, code=phone.code)).json()["token_type"] == "bearer"
    phone.wait()
    assert (await phone.browser.log_in(code=phone.code)).json()["has_second_factor"] is True
    assert await phone.browser.is_logged_in()


async def test_only_who_has_the_password_learns_of_the_second_factor(phone: Phone) -> None:
    plain = f"{uuid4().hex}@example.com"
    account = {"email": plain, "password": PASSWORD}
    (await phone.browser.http.post("/api/auth/signup", json=account)).raise_for_status()
    for code in ("", "000000", "nonsense", NO_CODE):
        wrong = {"password": "wrong horse", "code": code}
        told = [await log_in(phone, email=email, **wrong) for email in (phone.browser.email, plain)]
        assert [refusal_of(answer) for answer in told] == [(401, "credentials_invalid")] * 2
        assert told[0].content == told[1].content
        assert (await log_in(phone, email=plain, code=code)).status_code == 200  # which needs no code
        right = refusal_of(await log_in(phone, code=code))
        assert right == (401, "code_invalid" if code else "second_factor_required")


async def test_a_code_is_taken_once_whoever_comes_at_once(phone: Phone) -> None:
    phone.wait()
    code = phone.code
    answers = await asyncio.gather(*(log_in(phone, code=code) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert {refusal_of(answer)[1] for answer in answers if answer.status_code == 401} == {"code_invalid"}


async def test_the_code_that_confirmed_it_opens_nothing(phone: Phone) -> None:
    used = pyotp.TOTP(phone.secret)
    ((step,),) = execute(
        phone.database_url,
        "SELECT last_step FROM second_factors JOIN users ON users.id = user_id WHERE email = %s",
        phone.browser.email,
    )
    assert isinstance(step, int)
    assert refusal_of(await log_in(phone, code=used.at(step * 30))) == (401, "code_invalid")


async def test_a_recovery_code_stands_in_once_whoever_comes_at_once(phone: Phone) -> None:
    code, other = phone.recovery_codes[:2]
    answers = await asyncio.gather(*(log_in(phone, code=code) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert await me(phone.browser) == (True, 9)
    assert (await log_in(phone, code=other.lower().replace("-", " "))).status_code == 200
    assert await me(phone.browser) == (True, 8)


async def test_new_recovery_codes_void_those_before(phone: Phone) -> None:
    renewed = (await phone.browser.post(f"{PATH}/recovery-codes")).raise_for_status().json()["recovery_codes"]
    assert len(set(renewed) - set(phone.recovery_codes)) == 10
    assert refusal_of(await log_in(phone, code=phone.recovery_codes[0])) == (401, "code_invalid")
    assert (await log_in(phone, code=renewed[0])).status_code == 200


async def test_another_users_code_is_no_code(http: httpx.AsyncClient, phone: Phone) -> None:
    other = Phone(await logged_in_browser(http), phone.database_url)
    await other.switch_on()
    phone.wait()
    for code in (other.code, other.recovery_codes[0]):
        assert refusal_of(await log_in(phone, code=code)) == (401, "code_invalid")


async def test_it_is_switched_off_by_a_code_or_a_recovery_code(phone: Phone) -> None:
    phone.wait()
    wrong = await phone.browser.send("DELETE", PATH, json={"code": phone.wrong_code})
    assert refusal_of(wrong) == (403, "code_mismatch")
    assert (await phone.browser.send("DELETE", PATH, json={"code": phone.code})).status_code == 204
    assert await me(phone.browser) == (False, 0)
    assert (await log_in(phone)).status_code == 200
    await phone.switch_on()
    code = phone.recovery_codes[0]
    assert (await phone.browser.send("DELETE", PATH, json={"code": code})).status_code == 204
    assert await me(phone.browser) == (False, 0)


async def test_switching_it_on_or_off_ends_the_other_sessions(http: httpx.AsyncClient, database_url: str) -> None:
    phone, other = Phone(await logged_in_browser(http), database_url), Browser(http)
    other.email = phone.browser.email
    (await other.log_in()).raise_for_status()
    await phone.switch_on()
    assert (await other.is_logged_in(), await phone.browser.is_logged_in()) == (False, True)
    (await other.log_in(code=phone.recovery_codes[0])).raise_for_status()
    assert await other.is_logged_in()
    body = {"code": phone.recovery_codes[1]}
    (await phone.browser.send("DELETE", PATH, json=body)).raise_for_status()
    version = "SELECT credentials_version FROM users WHERE email = %s"
    assert execute(database_url, version, phone.browser.email) == [(2,)]  # which no login that was checked before has
    assert (await other.is_logged_in(), await phone.browser.is_logged_in()) == (False, True)


async def test_one_proves_who_one_is_with_the_password_and_a_code(phone: Phone) -> None:
    execute(phone.database_url, "UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    for code in (None, phone.wrong_code):
        told = await phone.browser.post("/api/auth/reauthenticate", json={"password": PASSWORD, "code": code})
        assert refusal_of(told) == (403, "code_mismatch")
    assert refusal_of(await phone.browser.post(f"{PATH}/recovery-codes")) == (403, "reauthentication_required")
    phone.wait()
    proof = {"password": PASSWORD, "code": phone.code}
    assert (await phone.browser.post("/api/auth/reauthenticate", json=proof)).status_code == 204
    assert (await phone.browser.post(f"{PATH}/recovery-codes")).status_code == 200


async def test_a_stolen_password_gives_a_few_codes_an_hour_and_keeps_no_recovery_code_out(
    strict: Phone, strict_settings: Settings
) -> None:
    strict.wait()
    wrong = [refusal_of(await log_in(strict, code=strict.wrong_code)) for _ in range(5)]
    assert wrong == [(401, "code_invalid")] * 4 + [(429, "too_many_tries")]
    soon = await log_in(strict, code=strict.recovery_codes[0])
    assert refusal_of(soon) == (429, "too_many_tries")
    assert 0 < int(soon.headers["Retry-After"]) <= 60
    # A minute later passwords are tried again. Codes are not, neither wrong ones nor the right one.
    await wait_a_minute(strict_settings)
    refused = await log_in(strict, code=strict.code)
    assert refusal_of(refused) == (429, "too_many_tries")
    assert 60 < int(refused.headers["Retry-After"]) <= 3600
    assert (await log_in(strict, code=strict.recovery_codes[0])).status_code == 200


async def test_the_password_alone_ends_no_count(strict: Phone) -> None:
    """Else a thief of a password would clear the count of wrong codes with it."""
    for _ in range(2):
        assert refusal_of(await log_in(strict, code=NO_CODE)) == (401, "code_invalid")
    for _ in range(6):
        assert refusal_of(await log_in(strict)) == (401, "second_factor_required")  # which counts as no wrong try
    for _ in range(2):
        assert refusal_of(await log_in(strict, code=NO_CODE)) == (401, "code_invalid")
    assert refusal_of(await log_in(strict)) == (429, "too_many_tries")


async def test_nothing_that_opens_an_account_is_kept_in_the_clear(phone: Phone) -> None:
    rows = execute(
        phone.database_url,
        "SELECT totp_secret, (SELECT array_agg(code_hash) FROM recovery_codes AS r WHERE r.user_id = s.user_id)"
        " FROM second_factors AS s JOIN users ON users.id = user_id WHERE email = %s",
        phone.browser.email,
    )
    told = repr(rows)
    assert phone.secret not in told
    assert all(code not in told and code.replace("-", "") not in told for code in phone.recovery_codes)


async def test_without_the_key_a_recovery_code_opens_the_account_and_the_password_alone_does_not(
    phone: Phone, valkey: EmbeddedValkey
) -> None:
    phone.wait()
    for keys in ("", Fernet.generate_key().decode()):
        settings = settings_with(phone.database_url, valkey, data_source_keys=keys)
        async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
            body = {"email": phone.browser.email, "password": PASSWORD}
            answers = [
                await http.post("/api/auth/login", json={**body, **({"code": code} if code else {})})
                for code in ("", phone.code, phone.recovery_codes.pop())
            ]
            assert [answer.status_code for answer in answers] == [401, 503, 200]
            assert answers[1].json()["code"] == "second_factor_unavailable"
            assert "DATA_SOURCE_KEYS" in answers[1].json()["detail"]


async def test_without_keys_there_are_no_second_factors(database_url: str, valkey: EmbeddedValkey) -> None:
    settings = settings_with(database_url, valkey)
    off = [finding.subject for finding in data_sources(settings) if finding.detail == "off"]
    assert off == ["data sources", "second factors"]  # says the doctor
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
        refused = await (await logged_in_browser(http)).post(PATH)
        assert refusal_of(refused) == (409, "second_factor_off")
        assert "DATA_SOURCE_KEYS" in refused.json()["detail"]


async def test_it_goes_with_the_account(phone: Phone) -> None:
    ((user_id,),) = execute(phone.database_url, "SELECT id FROM users WHERE email = %s", phone.browser.email)
    (await phone.browser.send("DELETE", "/api/auth/me")).raise_for_status()
    for table in ("second_factors", "recovery_codes"):
        left = execute(phone.database_url, f"SELECT count(*) FROM {table} WHERE user_id = %s", user_id)  # noqa: S608 - ours
        assert left == [(0,)]


async def test_a_change_of_the_password_needs_a_code_too(phone: Phone) -> None:
    phone.wait()
    change = {"current_password": PASSWORD, "new_password": "another horse battery"}
    for code in ({}, {"code": phone.wrong_code}):
        refused = await phone.browser.post("/api/auth/password", json={**change, **code})
        assert refusal_of(refused) == (403, "code_mismatch")
    assert (await phone.browser.post("/api/auth/password", json={**change, "code": phone.code})).status_code == 204


async def test_of_many_codes_at_once_as_few_are_tried_as_one_by_one(
    phone: Phone, http: httpx.AsyncClient, database_url: str, valkey: EmbeddedValkey
) -> None:
    settings = settings_with(phone.database_url, valkey, data_source_keys=KEY, **LIMITS)
    phone.wait()
    async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as strict:
        body = {"email": phone.browser.email, "password": PASSWORD, "code": phone.wrong_code}
        answers = await asyncio.gather(*(strict.post("/api/auth/login", json=body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [401] * 4 + [429] * 16


async def test_a_right_password_is_hashed_anew_though_the_code_is_missing(phone: Phone) -> None:
    old = bcrypt_sha256.using(rounds=5).hash(PASSWORD)
    execute(phone.database_url, "UPDATE users SET password_hash = %s WHERE email = %s", old, phone.browser.email)
    assert refusal_of(await log_in(phone)) == (401, "second_factor_required")
    kept = "SELECT password_hash FROM users WHERE email = %s"
    ((better,),) = execute(phone.database_url, kept, phone.browser.email)
    assert rounds_of(str(better)) == 4


async def test_secrets_change_their_keys_by_the_command(
    phone: Phone, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Fernet.generate_key().decode()
    monkeypatch.setenv("DATABASE_URL", phone.database_url)
    monkeypatch.setenv("DATA_SOURCE_KEYS", f"{new},{KEY}")
    assert await asyncio.to_thread(run, ["rotate-keys"]) == 0
    try:
        phone.wait()
        settings = settings_with(phone.database_url, valkey, data_source_keys=new)
        async with serve(settings) as url, httpx.AsyncClient(base_url=url, verify=NO_TLS) as http:
            body = {"email": phone.browser.email, "password": PASSWORD, "code": phone.code}
            assert (await http.post("/api/auth/login", json=body)).status_code == 200
    finally:
        monkeypatch.setenv("DATA_SOURCE_KEYS", f"{KEY},{new}")
        await asyncio.to_thread(run, ["rotate-keys"])


async def test_an_operator_lets_in_who_has_lost_everything(
    http: httpx.AsyncClient, phone: Phone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Phone(await logged_in_browser(http), phone.database_url)
    await other.switch_on()
    monkeypatch.setenv("DATABASE_URL", as_app(phone.database_url))
    command = ["accounts", "reset-second-factor"]
    assert await asyncio.to_thread(run, [*command, phone.browser.email.upper()]) == 0
    assert "sessions ended: 1" in capsys.readouterr().out
    told = "SELECT kind FROM account_mails WHERE address = %s ORDER BY id DESC LIMIT 1"
    assert execute(phone.database_url, told, phone.browser.email) == [("second_factor_off",)]
    assert not await phone.browser.is_logged_in()
    assert (await phone.browser.log_in()).json()["has_second_factor"] is False
    assert (await me(other.browser), await other.browser.is_logged_in()) == ((True, 10), True)
    version = "SELECT credentials_version FROM users WHERE email = %s"
    assert execute(phone.database_url, version, phone.browser.email) == [(2,)]
    assert await asyncio.to_thread(run, [*command, "nobody@example.com"]) == 2
    assert "no account has the address" in capsys.readouterr().err
