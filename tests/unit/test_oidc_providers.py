"""OIDC_PROVIDERS, PUBLIC_URL and PASSWORD_LOGIN: what is refused, in words that hold no secret."""

import json

import pytest

from shared.errors import SettingsInvalid
from shared.oidc_providers import MAX_PROVIDERS, OidcProvider, insist_on_tls
from shared.settings import Settings

SECRET = "hunter2hunter2"
ACME = {"id": "acme", "name": "Acme", "issuer": "https://login.acme.example/a", "client_id": "cortexai"}


@pytest.fixture(autouse=True)
def _the_least(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/cortexai")
    monkeypatch.setenv("REDIS_URL", "redis://localhost")


def load(monkeypatch: pytest.MonkeyPatch, entries: object, **others: str) -> Settings:
    text = entries if isinstance(entries, str) else json.dumps(entries)
    for name, value in {"OIDC_PROVIDERS": text, **others}.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_providers_are_read_and_their_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**ACME, "id": "b-2", "issuer": "http://127.0.0.1:8080", "client_secret": SECRET, "scopes": "openid email"}
    settings = load(monkeypatch, [ACME, other])
    first, second = settings.oidc_providers
    assert first == OidcProvider("acme", "Acme", "https://login.acme.example/a", "cortexai")
    assert first.scopes == "openid email profile"
    assert second.client_secret is not None
    assert second.client_secret.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {second!r}"
    assert load(monkeypatch, "").oidc_providers == ()
    assert load(monkeypatch, []).oidc_providers == ()


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ("{", "must be a JSON list of providers; in .env, in single quotes"),
        ("[" * 100_000, "must be a JSON list of providers"),
        ({"id": "a"}, "must be a JSON list of objects"),
        (["acme"], "must be a JSON list of objects"),
        (
            [{**ACME, "id": f"a{n}", "issuer": f"https://{n}.example"} for n in range(MAX_PROVIDERS + 1)],
            "must have at most 20",
        ),
        ([ACME, ACME], "must not have the same id twice"),
        ([ACME, {**ACME, "id": "b"}], "must not have the same issuer twice"),
        ([{**ACME, "id": "A b"}], "provider 1: id: must be at most 32 small letters"),
        ([{**ACME, "id": "../a"}], "provider 1: id: must be at most 32 small letters"),
        ([{**ACME, "name": "x" * 61}], "provider 1: name: must have at most 60"),
        ([{**ACME, "name": " "}], "provider 1: name: must be a text"),
        ([{**ACME, "name": "A\u202eB"}], "provider 1: name: must be a text"),
        ([{**ACME, "client_id": 7}], "provider 1: client_id: must be a text"),
        ([{**ACME, "secret": SECRET}], "provider 1: has a field that is none of id, name"),
        ([{name: ACME[name] for name in ("id", "name", "issuer")}], "provider 1: has no client_id"),
        ([{**ACME, "issuer": "http://login.acme.example"}], "provider 1: issuer: must begin with https://"),
        ([{**ACME, "issuer": "ftp://login.acme.example"}], "provider 1: issuer: must start with https"),
        ([{**ACME, "issuer": f"https://ann:{SECRET}@login.acme.example"}], "provider 1: issuer: must be an address"),
        ([{**ACME, "issuer": "https://a.example?x=1"}], "provider 1: issuer: must have no query"),
        (
            [{**ACME, "scopes": "email"}],
            "provider 1: scopes: must be words with a space between them, openid among them",
        ),
        ([{**ACME, "scopes": 'openid "'}], "provider 1: scopes"),
    ],
)
def test_an_entry_that_can_not_be_used_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch,
    entries: object,
    reason: str,
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(monkeypatch, entries)
    assert str(refused.value).startswith(f"OIDC_PROVIDERS: {reason}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1/x", "http://[::1]:8080/", "https://a.example"])
def test_only_this_machine_may_speak_without_tls(url: str) -> None:
    insist_on_tls(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "http://127.0.0.1@a.b",
        "https://",
    ],
)
def test_nobody_else_may(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        insist_on_tls(url)


def test_an_api_does_not_start_without_a_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingsInvalid, match=r"^PASSWORD_LOGIN: is off, and OIDC_PROVIDERS has no other way to log in$"
    ):
        load(monkeypatch, "", PASSWORD_LOGIN="off").insist_on_a_way_in()
    with pytest.raises(SettingsInvalid, match=r"^PUBLIC_URL: is not set, and the providers"):
        load(monkeypatch, [ACME], PASSWORD_LOGIN="on").insist_on_a_way_in()
    settings = load(monkeypatch, [ACME], PASSWORD_LOGIN="off", PUBLIC_URL="https://chat.example.com/ai/")
    settings.insist_on_a_way_in()
    assert (settings.public_url, settings.password_login) == ("https://chat.example.com/ai", False)


@pytest.mark.parametrize(
    "url", ["chat.example.com", "ftp://a.example", "https://", "https://a.example/?x=1", "https://a:b@c"]
)
def test_an_address_at_which_nobody_can_be_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^PUBLIC_URL: must"):
        load(monkeypatch, "", PUBLIC_URL=url)
