"""What is kept of a provider's documents and for how long, and which keys and tokens are taken."""

import asyncio
import json
from base64 import urlsafe_b64encode
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from services.api.auth.oidc.fetching import AnswerUnusable, CachedDocument
from services.api.auth.oidc.id_tokens import UnknownKey, read_email, read_identity, read_keys, verify
from shared.errors import IdentityInvalid, ProviderUnavailable

KEY = RSAKey.generate_key(2048, {"kid": "a", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "b"})
KEYS = read_keys({"keys": [KEY.as_dict(private=False), CURVE.as_dict(private=False)]})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
CLAIMS = ("iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time", "at_hash", "amr")


class Remote:
    """A document that can be away, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fetched = 0
        self.is_away = False
        self.document = CachedDocument("acme", self.fetch, fresh_for=100, clock=lambda: self.now)

    async def fetch(self) -> list[int]:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise AnswerUnusable("not_json")
        return [self.fetched]


async def test_those_who_ask_at_once_wait_for_one_fetch_until_the_document_is_old() -> None:
    remote = Remote()
    assert await asyncio.gather(*(remote.document.get() for _ in range(20))) == [[1]] * 20
    remote.now += 99
    assert await remote.document.get() == [1]
    remote.now += 1
    assert await remote.document.get() == [2]


async def test_a_provider_that_fails_is_left_in_peace_for_longer_each_time() -> None:
    remote = Remote()
    remote.is_away = True
    asked: list[float] = []
    for _ in range(600):
        with pytest.raises(ProviderUnavailable):
            await remote.document.get()
        if remote.fetched > len(asked):
            asked.append(remote.now)
        remote.now += 0.5
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    remote.is_away = False
    remote.now += 60
    assert await remote.document.get() == [len(asked) + 1]


async def test_the_old_document_is_used_for_a_while_when_no_new_one_comes() -> None:
    remote = Remote()
    await remote.document.get()
    remote.is_away = True
    remote.now += 3600
    assert await remote.document.get() == [1]
    remote.now += 101
    with pytest.raises(ProviderUnavailable):
        await remote.document.get()


async def test_a_newer_document_is_fetched_once_in_a_while_whoever_asks() -> None:
    remote = Remote()
    first = await remote.document.get()
    newer = await asyncio.gather(*(remote.document.get_newer(first) for _ in range(20)))
    assert newer == [[2]] * 20
    assert await remote.document.get_newer(newer[0]) == [2]
    remote.now += 10
    assert await remote.document.get_newer(newer[0]) == [3]


@pytest.mark.parametrize("name", [f"{kind}{bits}" for kind in ("RS", "PS") for bits in (256, 384, 512)] + ["ES256"])
def test_signatures_of_the_providers_own_key_are_taken(name: str) -> None:
    kid, key = ("b", CURVE) if name == "ES256" else ("a", KEY)
    assert verify(jwt.encode({"alg": name, "kid": kid}, {"sub": "x"}, key, algorithms=[name]), KEYS).claims == {
        "sub": "x"
    }


def test_keys_that_verify_nothing_here_are_passed_over() -> None:
    good = KEY.as_dict(private=False)
    weak = {"kty": "RSA", "e": "AQAB", "n": urlsafe_b64encode(b"\xff" * 128).decode(), "kid": "weak"}
    long = {"kty": "RSA", "e": "AQAB", "n": urlsafe_b64encode(b"\xff" * 20_000).decode(), "kid": "long"}
    others = [weak, long, {**good, "use": "enc", "kid": "c"}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}, 7, None, {}]
    assert [key.kid for key in read_keys({"keys": [*others, good]})] == ["a"]
    for listed in (others, [], "x", None, [good] * 51):
        with pytest.raises(AnswerUnusable, match="no_keys"):
            read_keys({"keys": listed})


def _part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(
    JSON | st.fixed_dictionaries({"alg": JSON | st.sampled_from(["RS256", "none", "HS256", "EdDSA"]), "kid": JSON}),
    JSON,
)
def test_no_token_that_nobody_has_signed_is_taken_whatever_it_says(header: Any, claims: Any) -> None:  # noqa: ANN401
    with pytest.raises((IdentityInvalid, UnknownKey)):
        verify(f"{_part(header)}.{_part(claims)}.AAAA", KEYS)


@given(st.dictionaries(st.sampled_from(CLAIMS), JSON))
def test_whatever_a_signed_token_says_is_refused_in_one_way(claims: dict[str, Any]) -> None:
    token = jwt.Token({"alg": "RS256"}, claims)
    with pytest.raises(IdentityInvalid):
        read_identity(token, issuer="https://a.example", client_id="c", nonce="n", access_token="t", leeway=10)


@pytest.mark.parametrize("told", [{}, {"email": 7}, {"email": ""}, {"email": "a" * 400}, {"email_verified": True}])
def test_an_address_that_is_none_is_not_told(told: dict[str, Any]) -> None:
    assert read_email(told) == (None, False)


def test_a_key_set_with_one_key_takes_a_token_that_names_none() -> None:
    token = jwt.encode({"alg": "RS256"}, {"sub": "x"}, KEY, algorithms=["RS256"])
    assert verify(token, KeySet([KEY])).claims == {"sub": "x"}
    with pytest.raises(UnknownKey):
        verify(token, KEYS)
