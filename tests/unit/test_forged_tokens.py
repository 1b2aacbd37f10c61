"""Forged tokens: none is let in, and all are told the same, whatever is wrong. Source: RFC 8725, RFC 9700.

Those that only the holder of the key can sign are here too: a token that says more than ours do was not made by us, or was
made by a release that means something by it which this one does not know.
"""

import base64
import hashlib
import hmac
import json
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.api.auth.access_tokens import AUDIENCE, AccessTokens
from services.api.auth.principal import StreamOf
from services.api.auth.signing_keys import SigningKeys
from services.api.auth.stream_tickets import AUDIENCE as TICKETS
from services.api.auth.stream_tickets import StreamTickets
from shared.errors import TicketInvalid, TokenInvalid
from shared.ids import MAX_BIGINT, UserId
from shared.key_ids import key_id

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69780f1e2d3c4b5a6978"
PREVIOUS = "b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef"
GONE = "2b992ddfa23249d6f4a1e7c89b05d3617c5e80af46d21b93e7c4508f1a6bd24e"
KID, PREVIOUS_KID, GONE_KID = map(key_id, (SECRET, PREVIOUS, GONE))
LIFETIME, LEEWAY = 3600, 10
KEYS = SigningKeys.of(SECRET, [PREVIOUS])
READER = AccessTokens(KEYS, LIFETIME, LEEWAY)
TICKET_READER = StreamTickets(KEYS, 900, LEEWAY)
HASHES: dict[str, Callable[..., Any]] = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
NOW = int(time.time())
ALPHABET = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}-_"
"""Of base64url, in its order. A signature of 32 bytes leaves the last two bits of its last letter."""


def coded(part: str | bytes) -> str:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else part.encode()).rstrip(b"=").decode()


def joined(claims: str | bytes, header: str, *, key: str | bytes = SECRET, algorithm: str = "HS256") -> str:
    """A token of these very texts."""
    said = f"{coded(header)}.{coded(claims)}"
    secret = key if isinstance(key, bytes) else key.encode()
    return f"{said}.{coded(hmac.new(secret, said.encode(), HASHES[algorithm]).digest())}"


def said(ours: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    """JSON of some members, with some of them changed; `...` leaves one out."""
    return json.dumps({name: value for name, value in {**ours, **changed}.items() if value is not ...})


@dataclass(frozen=True)
class Form:
    """What tokens of a release say, and those of them that were changed."""

    head: Mapping[str, Any]
    ours: Mapping[str, Any]

    def header(self, **changed: Any) -> str:  # noqa: ANN401
        return said(self.head, changed)

    def claims(self, **changed: Any) -> str:  # noqa: ANN401
        return said(self.ours, changed)

    def token(
        self, claims: str | bytes, header: str | None = None, *, key: str | bytes = SECRET, algorithm: str = "HS256"
    ) -> str:
        return joined(claims, self.header() if header is None else header, key=key, algorithm=algorithm)

    def twice(self, **claim: Any) -> str:  # noqa: ANN401
        """What our tokens say, with a claim said twice: the good one last, which parsers take."""
        return f"{{{json.dumps(claim)[1:-1]}, {self.claims()[1:]}"

    def unsigned(self, algorithm: str, signature: str = "") -> str:
        return f"{coded(self.header(alg=algorithm))}.{coded(self.claims())}.{signature}"


TIMES = {"iat": NOW, "exp": NOW + LIFETIME}
SHARED = {"sub": "7", "iss": "cortexai", "aud": AUDIENCE, **TIMES, "jti": "a"}
FORMS = {
    "now": Form({"alg": "HS256", "typ": "at+jwt", "kid": KID}, {**SHARED, "client_id": "cortexai", "sid": "12"}),
    "before": Form({"alg": "HS256", "typ": "JWT"}, {**SHARED, "typ": "access"}),
}
OTHER_TYPES: tuple[Any, ...] = (
    *("AT+JWT", "at+JWT", "application/at+jwt", "jwt", "rt+jwt", "ticket+jwt"),
    *("", None, 1, ["JWT"], {}),
)
PUBLIC_KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


def forged(form: Form) -> dict[str, str]:
    """What is no good token, made of one of this form."""
    token, claims, header = form.token, form.claims, form.header
    good = token(claims())
    head, body, signature = good.split(".")
    return {
        # Unsigned, or signed in another way
        **{f"alg {name}": form.unsigned(name) for name in ("none", "None", "NONE", "nOnE", "", "HS256")},
        "alg none with the signature": form.unsigned("none", signature),
        "alg of a number": token(claims(), header(alg=256)),
        "alg of null": token(claims(), header(alg=None)),
        "no alg": token(claims(), header(alg=...)),
        "RS256 with the secret": token(claims(), header(alg="RS256")),
        "RS256 with a public key": token(claims(), header(alg="RS256"), key=PUBLIC_KEY),
        "HS256 with a public key": token(claims(), key=PUBLIC_KEY),
        **{f"{name} with the secret": token(claims(), header(alg=name)) for name in ("ES256", "PS256", "EdDSA")},
        "HS384": token(claims(), header(alg="HS384"), algorithm="HS384"),
        "HS512": token(claims(), header(alg="HS512"), algorithm="HS512"),
        "said to be HS512": token(claims(), header(alg="HS512")),
        "another key": token(claims(), key="another"),
        "a key that is gone": token(claims(), key=GONE),
        "an empty key": token(claims(), key=""),
        "no signature": f"{head}.{body}.",
        "half a signature": f"{head}.{body}.{signature[:20]}",
        "another token's signature": f"{head}.{coded(claims(sub='8'))}.{signature}",
        # Headers that ours do not have
        "kid": token(claims(), header(kid="1")),
        "kid of a file": token(claims(), header(kid="../../../../dev/null")),
        "kid of SQL": token(claims(), header(kid="' UNION SELECT 'secret")),
        "kid of nothing": token(claims(), header(kid="")),
        "kid of null": token(claims(), header(kid=None)),
        "kid of a number": token(claims(), header(kid=1)),
        "kid of a list": token(claims(), header(kid=[KID])),
        "kid in capitals": token(claims(), header(kid=KID.upper())),
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
        **{f"typ {name!r}": token(claims(), header(typ=name)) for name in OTHER_TYPES},
        "no typ": token(claims(), header(typ=...)),
        "a header that is said twice": token(claims(), f'{{"alg":"none",{header()[1:]}'),
        "a header of a list": token(claims(), "[]"),
        "a header of a text": token(claims(), '"JWT"'),
        # Claims that are missing
        **{f"no {name}": token(claims(**{name: ...})) for name in form.ours},
        **{f"{name} of null": token(claims(**{name: None})) for name in form.ours},
        # Claims that say something else
        "another issuer": token(claims(iss="somebody")),
        "issuers": token(claims(iss=["cortexai"])),
        "another audience": token(claims(aud="another-api")),
        "audiences": token(claims(aud=[AUDIENCE])),
        "a ticket's audience": token(claims(aud=TICKETS)),
        "jti of a number": token(claims(jti=1)),
        **{
            f"sid {name!r}": token(claims(sid=name))
            for name in (None, 12, "", "0", "012", " 12", "1e1", str(MAX_BIGINT + 1))
        },
        # Users that are none
        "sub of a number": token(claims(sub=7)),
        **{
            f"sub {name!r}": token(claims(sub=name))
            for name in (
                "",
                "0",
                "-7",
                "+7",
                "07",
                " 7",
                "7 ",
                "7.0",
                "7_0",
                "1e1",
                "٧",
                "²",
                "admin",
                "7 OR 1=1",
                "null",
            )
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
            f"{name} twice": token(form.twice(**{name: value}))
            for name, value in {
                "sub": "8",
                "exp": NOW - 60,
                "iat": 1,
                "iss": "x",
                "aud": "x",
                "jti": "b",
                **dict.fromkeys(sorted(form.ours.keys() - SHARED.keys()), "x"),
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
        "a header that is nested deeply": token(claims(), "[" * 300 + "]" * 300),
        "a serialization in JSON": json.dumps({"payload": body, "protected": head, "signature": signature}),
        "four parts": f"{good}.{signature}",
        "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
        "two parts": f"{head}.{body}",
        "plain base64": f"{head}=.{body}.{signature}",
        "a space in it": f"{head}. {body}.{signature}",
        # Other spellings of the signature, which a decoder may take
        "a padded signature": f"{good}=",
        "a mark in the signature": f"{head}.{body}.{signature[:5]}!{signature[5:]}",
        "bits that nobody reads": good[:-1] + ALPHABET[ALPHABET.index(good[-1]) ^ 1],
        "too long": token(claims(more="x" * 2000)),
        "dots": "..",
    }


NEW, OLD = FORMS["now"], FORMS["before"]
FORGED: dict[str, str] = {
    **{f"{when}: {name}": text for when, form in FORMS.items() for name, text in forged(form).items()},
    # Keys that are not the named one
    "no kid": NEW.token(NEW.claims(), NEW.header(kid=...)),
    "no kid of the previous key": NEW.token(NEW.claims(), NEW.header(kid=...), key=PREVIOUS),
    "a kid before there were any": OLD.token(OLD.claims(), OLD.header(kid=KID)),
    "the kid of the previous key": NEW.token(NEW.claims(), NEW.header(kid=PREVIOUS_KID)),
    "the previous key with the kid of this one": NEW.token(NEW.claims(), key=PREVIOUS),
    "the kid of a key that is gone": NEW.token(NEW.claims(), NEW.header(kid=GONE_KID)),
    "a key that is gone with its own kid": NEW.token(NEW.claims(), NEW.header(kid=GONE_KID), key=GONE),
    # Tokens for something else
    "a new header on old claims": joined(OLD.claims(), NEW.header()),
    "an old header on new claims": joined(NEW.claims(), OLD.header()),
    "another client": NEW.token(NEW.claims(client_id="another")),
    "clients": NEW.token(NEW.claims(client_id=["cortexai"])),
    "a refresh token": OLD.token(OLD.claims(typ="refresh")),
    "a ticket's type": OLD.token(OLD.claims(typ="stream_ticket")),
    "a whole ticket": StreamTickets(KEYS, 900).issue(UserId(7), StreamOf("events"), 12),
    "a ticket as a token": joined(NEW.claims(kind="events", id=""), NEW.header(typ="ticket+jwt")),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_token_that_they_differ_from_is_good(form: str) -> None:
    read = READER.read(FORMS[form].token(FORMS[form].claims()))
    assert (read.user_id, read.session_id) == (7, 12 if form == "now" else None)


@pytest.mark.parametrize(
    "text",
    [
        NEW.token(NEW.claims(), NEW.header(kid=PREVIOUS_KID), key=PREVIOUS),
        OLD.token(OLD.claims(), key=PREVIOUS),
    ],
    ids=FORMS,
)
def test_a_token_of_a_previous_key_is_good(text: str) -> None:
    assert READER.read(text).user_id == 7


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    with pytest.raises(TokenInvalid):
        READER.read(FORGED[name])


def test_a_forged_token_is_no_ticket_either() -> None:
    for name in FORGED.keys() - {"a whole ticket"}:
        with pytest.raises(TicketInvalid):
            TICKET_READER.read(FORGED[name])


def test_a_forged_ticket_is_refused() -> None:
    head = {"alg": "HS256", "typ": "ticket+jwt", "kid": KID}
    said = {"sub": "7", "iss": "cortexai", "aud": TICKETS, **TIMES, "kind": "events", "id": ""}
    form, reader = Form(head, said), StreamTickets(KEYS, LIFETIME, LEEWAY)
    assert reader.read(form.token(form.claims())).user_id == 7
    good = {"a ticket's audience", "typ 'ticket+jwt'", "jti of a number", "jti twice"}  # a ticket has no `jti`
    for name, text in forged(form).items():
        if name not in good:
            with pytest.raises(TicketInvalid):
                reader.read(text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("offset", [-LIFETIME - LEEWAY + 3, -LIFETIME, 0, LEEWAY - 1])
def test_a_clock_that_differs_a_little_is_no_forgery(offset: int, form: str) -> None:
    """An API whose clock is ahead issues tokens from the future; one whose clock is behind, some that are over early."""
    began, made = int(time.time()) + offset, FORMS[form]
    assert READER.read(made.token(made.claims(iat=began, exp=began + LIFETIME))).user_id == 7
    assert TICKET_READER.read(ticket(form, iat=began - offset + 5))[:2] == (7, StreamOf("events"))


def test_a_token_of_the_release_before_is_good_for_as_long_as_it_was_given() -> None:
    """It was given for an hour by default, whatever this release gives its own for."""
    brief = AccessTokens(KEYS, 900, LEEWAY)
    assert brief.read(OLD.token(OLD.claims()))[:2] == (7, None)
    for made in (NEW.token(NEW.claims()), OLD.token(OLD.claims(exp=NOW + 3601))):
        with pytest.raises(TokenInvalid):
            brief.read(made)


def ticket(form: str, **changed: int) -> str:
    ours = {"aud": TICKETS, "kind": "events", "id": "", "jti": ..., "exp": int(time.time()) + 600, **changed}
    if form == "now":
        return NEW.token(NEW.claims(**{**ours, "client_id": ...}), NEW.header(typ="ticket+jwt"))
    return OLD.token(OLD.claims(**{**ours, "typ": "stream_ticket"}))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "changed",
    [{"iat": NOW + 2 * LIFETIME, "exp": NOW + 2 * LIFETIME + 600}, {"exp": NOW - LEEWAY - 5, "iat": NOW - 600}],
)
def test_a_tickets_clock_may_differ_no_more_than_a_tokens(changed: dict[str, int], form: str) -> None:
    with pytest.raises(TicketInvalid):
        TICKET_READER.read(ticket(form, **changed))


def test_there_are_enough_of_them() -> None:
    assert len(set(FORGED.values())) >= 200
