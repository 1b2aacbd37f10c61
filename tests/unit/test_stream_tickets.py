"""The stream tickets that are refused: forged, borrowed, expired, or not quite what we issue."""

import time
from typing import Any

import jwt
import pytest

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.principal import StreamOf
from services.api.auth.signing_keys import SigningKeys
from services.api.auth.stream_tickets import AUDIENCE, CLAIMS, StreamTickets
from shared.errors import TicketInvalid, TokenInvalid
from shared.ids import MAX_BIGINT, UserId
from tests.unit.test_security import OTHER_SECRET, SECRET, by_hand, header
from tests.unit.test_security import claims as access_claims
from tests.unit.test_security import signed as signed_as

LIFETIME = 900
KEYS = SigningKeys.of(SECRET)
TICKETS = StreamTickets(KEYS, LIFETIME)
TOKENS = AccessTokens(KEYS, 3600)


def claims(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """What a ticket says, with some claims changed."""
    now = int(time.time())
    ours = {"aud": AUDIENCE, "exp": now + 60, "iat": now, "kind": "chat", "id": "3"}
    return {"sub": "7", "iss": "cortexai", **ours, **changed}


def signed(said: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    """A ticket that says this."""
    return signed_as(said, secret, algorithm, "ticket+jwt")


def without(claim: str) -> dict[str, Any]:
    """What a ticket says that lacks a claim."""
    return {name: value for name, value in claims().items() if name != claim}


@pytest.mark.parametrize("user_id", [1, MAX_BIGINT])
@pytest.mark.parametrize("stream", [StreamOf("chat", "3"), StreamOf("generation", "0198c0de"), StreamOf("events")])
def test_a_ticket_names_its_user_and_its_stream(user_id: int, stream: StreamOf) -> None:
    for session_id in (None, 12):
        assert TICKETS.read(TICKETS.issue(UserId(user_id), stream, session_id))[:3] == (user_id, stream, session_id)


def test_the_tickets_that_the_refusals_differ_from_are_good() -> None:
    for ticket in (signed(claims()), by_hand(header(typ="ticket+jwt"), claims(), sign=True)):
        assert TICKETS.read(ticket)[:2] == (7, StreamOf("chat", "3"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "RS256", "ES256", "HS384"])
@pytest.mark.parametrize("sign", [False, True])
def test_a_ticket_can_not_choose_how_it_is_verified(algorithm: str, sign: bool) -> None:
    with pytest.raises(TicketInvalid):
        TICKETS.read(by_hand(header(algorithm, "ticket+jwt"), claims(), sign=sign))


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_ticket_that_lacks_a_claim_is_refused(claim: str) -> None:
    with pytest.raises(TicketInvalid):
        TICKETS.read(signed(without(claim)))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "cortexai-api"},
        {"aud": [AUDIENCE, "cortexai-api"]},
        {"iss": "somebody"},
        {"sub": "-1"},
        {"sub": "x"},
        {"sid": 12},
        {"sid": "12x"},
        {"kind": "chats"},
        {"kind": None},
        {"kind": ["chat"]},
        {"id": 3},
        {"id": None},
        {"exp": int(time.time()) - 1},
        {"exp": int(time.time()) + 10_000},
        {"exp": 2.0**60},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3660},
    ],
    ids="-".join,  # not the times, which each process that collects tests reads anew
)
def test_a_ticket_that_says_something_else_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TicketInvalid):
        TICKETS.read(signed(claims(**changed)))


@pytest.mark.parametrize(
    "ticket",
    ["", "x", "a.b.c", "null", "[" * 5000, signed(claims(), OTHER_SECRET), signed(claims(), algorithm="HS512")],
    ids=["empty", "word", "three words", "null", "long", "another secret", "another algorithm"],
)
def test_what_is_no_ticket_of_ours_is_refused(ticket: str) -> None:
    with pytest.raises(TicketInvalid):
        TICKETS.read(ticket)


def test_a_ticket_whose_stream_was_changed_is_refused() -> None:
    head, _, signature = TICKETS.issue(UserId(7), StreamOf("chat", "3"), 12).split(".")
    _, body, _ = jwt.encode(claims(id="4"), OTHER_SECRET).split(".")
    with pytest.raises(TicketInvalid):
        TICKETS.read(f"{head}.{body}.{signature}")


def test_neither_a_ticket_nor_a_token_is_taken_for_the_other() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read(TICKETS.issue(UserId(7), StreamOf("events"), 12))
    with pytest.raises(TicketInvalid):
        TICKETS.read(TOKENS.issue(UserId(7), 12))
    for mixed in (access_claims(kind="chat", id="3"), access_claims(kind="chat", id="3", aud=AUDIENCE)):
        with pytest.raises(TicketInvalid):
            TICKETS.read(signed_as(mixed))
    with pytest.raises(TicketInvalid):
        TICKETS.read(signed(access_claims(kind="chat", id="3")))
    with pytest.raises(TokenInvalid):
        TOKENS.read(signed({**claims(), "jti": "a", "client_id": "cortexai", "aud": "cortexai-api"}))


def test_a_ticket_of_the_release_before_is_good() -> None:
    """Until it expires. It names no key, and its type stands among its claims."""
    said = {**claims(), "typ": "stream_ticket"}
    assert TICKETS.read(jwt.encode(said, SECRET))[:3] == (7, StreamOf("chat", "3"), None)
    for changed in ({"typ": "access"}, {"typ": None}, {"aud": "cortexai-api"}, {"exp": said["iat"] + LIFETIME + 1}):
        with pytest.raises(TicketInvalid):
            TICKETS.read(jwt.encode({**said, **changed}, SECRET))


def test_a_ticket_of_a_previous_key_is_good() -> None:
    after = StreamTickets(SigningKeys.of(OTHER_SECRET, [SECRET]), LIFETIME)
    assert after.read(TICKETS.issue(UserId(7), StreamOf("events"), 12))[:3] == (7, StreamOf("events"), 12)
    with pytest.raises(TicketInvalid):
        TICKETS.read(after.issue(UserId(7), StreamOf("events"), 12))
