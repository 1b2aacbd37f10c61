"""Forged tokens: none is let in, and all are told the same, whatever is wrong. Source: RFC 8725, RFC 9700.

Those that only the holder of the key can sign are here too: a token that says more than ours do was not made by us, or was
made by a release that means something by it which this one does not know.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.api.auth.access_tokens import AUDIENCE, AccessTokens
from services.api.auth.principal import StreamOf
from services.api.auth.stream_tickets import AUDIENCE as TICKETS
from services.api.auth.stream_tickets import StreamTickets
from shared.errors import TicketInvalid, TokenInvalid
from shared.ids import MAX_BIGINT, UserId

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69780f1e2d3c4b5a6978"
LIFETIME, LEEWAY = 3600, 10
READER = AccessTokens(SECRET, "HS256", LIFETIME, LEEWAY)
HEADER = '{"alg":"HS256","typ":"JWT"}'
HASHES: dict[str, Callable[..., Any]] = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
NOW = int(time.time())


def coded(part: str | bytes) -> str:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else part.encode()).rstrip(b"=").decode()


def token(claims: str | bytes, header: str = HEADER, *, key: str | bytes = SECRET, algorithm: str = "HS256") -> str:
    """A token of these very texts."""
    said = f"{coded(header)}.{coded(claims)}"
    secret = key if isinstance(key, bytes) else key.encode()
    return f"{said}.{coded(hmac.new(secret, said.encode(), HASHES[algorithm]).digest())}"


def claims(**changed: Any) -> str:  # noqa: ANN401
    """What our tokens say, with some claims changed; `...` leaves one out."""
    ours = {
        "sub": "7",
        "typ": "access",
        "iss": "cortexai",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + LIFETIME,
        "jti": "a",
    }
    return json.dumps({name: value for name, value in {**ours, **changed}.items() if value is not ...})


def header(**more: Any) -> str:  # noqa: ANN401
    return json.dumps({"alg": "HS256", "typ": "JWT", **more})


def twice(**claim: Any) -> str:  # noqa: ANN401
    """What our tokens say, with a claim said twice: the good one last, which parsers take."""
    return f"{{{json.dumps(claim)[1:-1]}, {claims()[1:]}"


def unsigned(algorithm: str, signature: str = "") -> str:
    return f"{coded(json.dumps({'alg': algorithm, 'typ': 'JWT'}))}.{coded(claims())}.{signature}"


PUBLIC_KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)
GOOD = token(claims())
HEAD, BODY, SIGNATURE = GOOD.split(".")

FORGED: dict[str, str] = {
    # Unsigned, or signed in another way
    **{f"alg {name}": unsigned(name) for name in ("none", "None", "NONE", "nOnE", "", "HS256")},
    "alg none with the signature": unsigned("none", SIGNATURE),
    "alg of a number": token(claims(), header(alg=256)),
    "alg of null": token(claims(), header(alg=None)),
    "no alg": token(claims(), '{"typ":"JWT"}'),
    "RS256 with the secret": token(claims(), header(alg="RS256")),
    "RS256 with a public key": token(claims(), header(alg="RS256"), key=PUBLIC_KEY),
    "HS256 with a public key": token(claims(), key=PUBLIC_KEY),
    **{f"{name} with the secret": token(claims(), header(alg=name)) for name in ("ES256", "PS256", "EdDSA")},
    "HS384": token(claims(), header(alg="HS384"), algorithm="HS384"),
    "HS512": token(claims(), header(alg="HS512"), algorithm="HS512"),
    "said to be HS512": token(claims(), header(alg="HS512")),
    "another key": token(claims(), key="another"),
    "an empty key": token(claims(), key=""),
    "no signature": f"{HEAD}.{BODY}.",
    "half a signature": f"{HEAD}.{BODY}.{SIGNATURE[:20]}",
    "another token's signature": f"{HEAD}.{coded(claims(sub='8'))}.{SIGNATURE}",
    # Headers that ours do not have
    "kid": token(claims(), header(kid="1")),
    "kid of a file": token(claims(), header(kid="../../../../dev/null")),
    "kid of SQL": token(claims(), header(kid="' UNION SELECT 'secret")),
    "jku": token(claims(), header(jku="https://attacker.example/keys")),
    "x5u": token(claims(), header(x5u="https://attacker.example/cert")),
    "jwk": token(claims(), header(jwk={"kty": "oct", "k": coded("another")}), key="another"),
    "jwk and our key": token(claims(), header(jwk={"kty": "oct", "k": coded(SECRET)})),
    "x5c": token(claims(), header(x5c=["MII"])),
    "crit": token(claims(), header(crit=["exp"])),
    "crit of nothing": token(claims(), header(crit=[])),
    "b64 false": token(claims(), header(b64=False, crit=["b64"])),
    "zip": token(claims(), header(zip="DEF")),
    "cty of a nested token": token(claims(), header(cty="JWT")),
    "another typ": token(claims(), header(typ="at+jwt")),
    "no typ": token(claims(), '{"alg":"HS256"}'),
    "a header that is said twice": token(claims(), '{"alg":"none","alg":"HS256","typ":"JWT"}'),
    # Claims that are missing
    **{f"no {name}": token(claims(**{name: ...})) for name in ("sub", "typ", "iss", "aud", "iat", "exp", "jti")},
    **{f"{name} of null": token(claims(**{name: None})) for name in ("sub", "typ", "iss", "aud", "iat", "exp", "jti")},
    # Claims that say something else
    "another issuer": token(claims(iss="somebody")),
    "issuers": token(claims(iss=["cortexai"])),
    "another audience": token(claims(aud="another-api")),
    "audiences": token(claims(aud=[AUDIENCE])),
    "a ticket's audience": token(claims(aud=TICKETS)),
    "a refresh token": token(claims(typ="refresh")),
    "a ticket's type": token(claims(typ="stream_ticket")),
    "a whole ticket": StreamTickets(SECRET, "HS256", 900).issue(UserId(7), StreamOf("events")),
    "jti of a number": token(claims(jti=1)),
    # Users that are none
    "sub of a number": token(claims(sub=7)),
    **{
        f"sub {name!r}": token(claims(sub=name))
        for name in ("", "0", "-7", "+7", "07", " 7", "7 ", "7.0", "7_0", "1e1", "٧", "²", "admin", "7 OR 1=1", "null")
    },
    "sub beyond bigint": token(claims(sub=str(MAX_BIGINT + 1))),
    "sub of 300 digits": token(claims(sub="9" * 300)),
    # Times
    "over": token(claims(iat=NOW - 700, exp=NOW - LEEWAY - 5)),
    "not begun": token(claims(iat=NOW + 2 * LIFETIME, exp=NOW + 3 * LIFETIME)),
    "not yet": token(claims(nbf=NOW + 2 * LIFETIME)),
    "lives too long": token(claims(exp=NOW + LIFETIME + 1)),
    "lives for ever": token(claims(exp=2**63)),
    "ends before it begins": token(claims(iat=NOW + 5, exp=NOW + 2)),
    "exp of a text": token(claims(exp=str(NOW + 600))),
    "exp of a fraction": token(claims(exp=NOW + 600.5)),
    "exp of true": token(claims(iat=NOW - 600, exp=True)),
    "iat of true": token(claims(iat=True, exp=LIFETIME)),
    "iat of a text": token(claims(iat=str(NOW))),
    "exp of Infinity": token(claims(exp=float("inf"))),
    "exp of NaN": token(claims(exp=float("nan"))),
    "nbf of a text": token(claims(nbf="now")),
    # Claims that are said twice
    **{
        f"{name} twice": token(twice(**{name: value}))
        for name, value in {
            "sub": "8",
            "exp": NOW - 60,
            "iat": 1,
            "iss": "x",
            "aud": "x",
            "typ": "x",
            "jti": "b",
        }.items()
    },
    "a claim twice further down": token(claims()[:-1] + ', "more": {"a": 1, "a": 2}}'),
    # What is no token
    "claims of a list": token("[]"),
    "claims of a text": token('"7"'),
    "claims of nothing": token(""),
    "claims of no JSON": token("{'sub': '7'}"),
    "claims of no UTF-8": token(b"\xff\xfe"),
    "nested deeply": token("[" * 300 + "]" * 300),
    "a serialization in JSON": json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts": f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}",
    "two parts": f"{HEAD}.{BODY}",
    "plain base64": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "a space in it": f"{HEAD}. {BODY}.{SIGNATURE}",
    "too long": token(claims(more="x" * 2000)),
    "dots": "..",
}


def test_the_token_that_they_differ_from_is_good() -> None:
    assert READER.read(GOOD) == 7


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    with pytest.raises(TokenInvalid):
        READER.read(FORGED[name])


@pytest.mark.parametrize("offset", [-LIFETIME - LEEWAY + 3, -LIFETIME, 0, LEEWAY - 1])
def test_a_clock_that_differs_a_little_is_no_forgery(offset: int) -> None:
    """An API whose clock is ahead issues tokens from the future; one whose clock is behind, some that are over early."""
    began = int(time.time()) + offset
    assert READER.read(token(claims(iat=began, exp=began + LIFETIME))) == 7
    assert StreamTickets(SECRET, "HS256", 900, LEEWAY).read(ticket(iat=began - offset + 5)) == (7, StreamOf("events"))


def ticket(**changed: int) -> str:
    ours = {
        "typ": "stream_ticket",
        "aud": TICKETS,
        "kind": "events",
        "id": "",
        "jti": ...,
        "exp": int(time.time()) + 600,
    }
    return token(claims(**{**ours, **changed}))


@pytest.mark.parametrize(
    "changed",
    [{"iat": NOW + 2 * LIFETIME, "exp": NOW + 2 * LIFETIME + 600}, {"exp": NOW - LEEWAY - 5, "iat": NOW - 600}],
)
def test_a_tickets_clock_may_differ_no_more_than_a_tokens(changed: dict[str, int]) -> None:
    with pytest.raises(TicketInvalid):
        StreamTickets(SECRET, "HS256", 900, LEEWAY).read(ticket(**changed))


def test_there_are_enough_of_them() -> None:
    assert len(set(FORGED.values())) >= 60
