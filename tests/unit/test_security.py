"""The tokens that are refused: forged, borrowed, expired, or not quite what we issue."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest

from services.api.auth.access_tokens import AUDIENCE, FORM, FORM_BEFORE, AccessTokens
from services.api.auth.signed_claims import ISSUER
from services.api.auth.signing_keys import SigningKeys
from shared.errors import TokenInvalid
from shared.ids import MAX_BIGINT, UserId
from shared.key_ids import key_id

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69780f1e2d3c4b5a6978"
OTHER_SECRET = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
LIFETIME = 3600
TOKENS = AccessTokens(SigningKeys.of(SECRET), LIFETIME)


def claims(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """What an access token says, with some claims changed."""
    now = int(time.time())
    ours = {
        "sub": "7",
        "client_id": "cortexai",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 60,
        "jti": "a",
        "sid": "12",
    }
    return {**ours, **changed}


def signed(said: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256", typ: str = "at+jwt") -> str:
    """A token that says this."""
    return SigningKeys.of(secret, algorithm=algorithm).sign(said, typ)


def header(algorithm: str = "HS256", typ: str = "at+jwt") -> dict[str, str]:
    """What the header of a token says."""
    return {"alg": algorithm, "typ": typ, "kid": key_id(SECRET)}


def by_hand(header: dict[str, Any], said: dict[str, Any], *, sign: bool) -> str:
    """A token that no honest library makes."""
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, said))
    signature = hmac.new(SECRET.encode(), head + b"." + body, hashlib.sha256).digest() if sign else b""
    return b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("user_id", [1, MAX_BIGINT])
def test_a_token_names_its_user(algorithm: str, user_id: int) -> None:
    tokens = AccessTokens(SigningKeys.of(SECRET, algorithm=algorithm), LIFETIME)
    issued_at = time.time()
    user, session, expires_at = tokens.read(tokens.issue(UserId(user_id), session_id=MAX_BIGINT))
    assert (user, session) == (user_id, MAX_BIGINT)
    assert expires_at == pytest.approx(issued_at + LIFETIME, abs=2)


def test_the_tokens_that_the_refusals_differ_from_are_good() -> None:
    assert TOKENS.read(signed(claims())).user_id == 7
    assert TOKENS.read(by_hand(header(), claims(), sign=True)).user_id == 7
    assert TOKENS.read(signed(claims())).session_id == 12


def test_no_two_tokens_are_the_same() -> None:
    assert TOKENS.issue(UserId(1), 1) != TOKENS.issue(UserId(1), 1)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("sign", [False, True])
def test_an_unsigned_token_is_refused(algorithm: str, sign: bool) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(by_hand(header(algorithm), claims(), sign=sign))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA", "HS384"])
def test_a_token_can_not_choose_how_it_is_verified(algorithm: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(by_hand(header(algorithm), claims(), sign=True))


def test_a_token_of_another_configured_algorithm_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(), algorithm="HS512"))


def test_a_token_that_is_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(), OTHER_SECRET))


def test_a_token_whose_claims_were_changed_is_refused() -> None:
    head, _, signature = signed(claims()).split(".")
    body = signed(claims(sub="8")).split(".")[1]
    with pytest.raises(TokenInvalid):
        TOKENS.read(f"{head}.{body}.{signature}")


def test_a_token_is_what_the_standard_says() -> None:
    """RFC 9068, section 2."""
    token = TOKENS.issue(UserId(7), 12)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": key_id(SECRET)}
    said = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE)
    assert said.keys() == {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "sid"}
    assert (said["client_id"], said["exp"] - said["iat"]) == ("cortexai", LIFETIME)


@pytest.mark.parametrize("missing", FORM_BEFORE.required)
def test_a_token_of_the_release_before_without_one_of_its_claims_is_refused(missing: str) -> None:
    said = {**claims(), "typ": "access"}
    assert TOKENS.read(jwt.encode(said, SECRET)).user_id == 7
    del said[missing]
    with pytest.raises(TokenInvalid):
        TOKENS.read(jwt.encode(said, SECRET))


@pytest.mark.parametrize("missing", FORM.required)
def test_a_token_without_one_of_our_claims_is_refused(missing: str) -> None:
    said = claims()
    del said[missing]
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(said))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"iss": ""},
        {"aud": "another-api"},
        {"aud": [AUDIENCE, "another-api"]},
        {"client_id": "another"},
        {"client_id": ["cortexai"]},
        {"client_id": None},
        {"sub": ""},
        {"sub": "-7"},
        {"sub": "7.0"},
        {"sub": "admin"},
        {"sub": "7 OR 1=1"},
        {"exp": "never"},
        {"exp": time.time() + 60.5},
        {"iat": "now"},
        {"iat": int(time.time()) - 10.5},
        {"sid": 12},
        {"sid": ""},
        {"sid": "0"},
        {"sid": "-1"},
        {"sid": None},
        {"sid": str(MAX_BIGINT + 1)},
    ],
    ids=lambda changed: " ".join(
        f"{name}={value!r}" for name, value in changed.items() if not isinstance(value, float)
    ),
)
def test_a_token_that_says_something_else_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(**changed)))


def test_an_expired_token_is_refused() -> None:
    now = int(time.time())
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(iat=now - 120, exp=now - 60)))


def test_a_token_from_the_future_is_refused() -> None:
    now = int(time.time())
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(iat=now + 3600, exp=now + 3660)))


def test_a_token_that_lives_longer_than_ours_do_is_refused() -> None:
    now = int(time.time())
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed(claims(iat=now, exp=now + LIFETIME + 1)))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "null",
        "{}",
        "\0",
        "ü.ü.ü",
        "e30.e30.e30",
        "." * 10_000,
        "[" * 60_000,
        "a" * 60_000,
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(token)


@pytest.mark.parametrize("depth", [1_000, 40_000])
def test_deeply_nested_json_in_a_token_is_refused(depth: int) -> None:
    nested = base64.urlsafe_b64encode(b"[" * depth + b"]" * depth).decode().rstrip("=")
    for token in (f"{nested}.e30.e30", f"{signed(claims()).split('.')[0]}.{nested}.e30"):
        with pytest.raises(TokenInvalid):
            TOKENS.read(token)
