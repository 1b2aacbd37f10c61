"""What goes wrong with one login, in words that whoever logs in says, with spaces between them.

Of the ID token: `wrong_nonce`, `no_nonce`, `wrong_aud`, `two_audiences` (with our azp), `wrong_azp`, `no_azp` (two audiences),
`expired`, `issued_later`, `other_issuer`, `no_sub`, `wrong_at_hash`, `none` (alg), `hs256` (by the client's secret),
`hs256_public` (by the public key), `other_key` (of the same kid), `stray_key` (of a kid that is never published), `garbage`.
Of the answer to the browser: `wrong_iss`, `no_iss`, `denied`. Of the token endpoint: `no_id_token`, `huge`, `slow`, `status_500`,
`page` (HTML), `compressed`, `cookie`. Of userinfo: `thin` (the ID token has no address), `other_sub`. Of the time of the
authentication: `no_auth_time`, `long_ago`.
"""

import json
import time
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

HOUR: Final = 3600
HUGE_BYTES: Final = 5 * 1024 * 1024


def claims_for(
    faults: set[str], *, issuer: str, client_id: str, nonce: str, person: dict[str, Any], at_hash: str
) -> dict[str, Any]:
    """The claims of an ID token."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": person["sub"],
        "aud": client_id,
        "nonce": nonce,
        "at_hash": at_hash,
        "iat": now,
        "exp": now + HOUR,
        "auth_time": now,
    }
    if "thin" not in faults:
        claims |= {name: person[name] for name in ("email", "email_verified") if name in person}
    changes: dict[str, dict[str, Any]] = {
        "wrong_nonce": {"nonce": "another"},
        "no_nonce": {"nonce": None},
        "wrong_aud": {"aud": "somebody-else"},
        "two_audiences": {"aud": [client_id, "somebody-else"], "azp": client_id},
        "wrong_azp": {"azp": "somebody-else"},
        "no_azp": {"aud": [client_id, "somebody-else"]},
        "expired": {"iat": now - 2 * HOUR, "exp": now - HOUR},
        "issued_later": {"iat": now + HOUR, "exp": now + 2 * HOUR},
        "other_issuer": {"iss": "https://elsewhere.example"},
        "no_sub": {"sub": None},
        "wrong_at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        "no_auth_time": {"auth_time": None},
        "long_ago": {"auth_time": now - 24 * HOUR},
    }
    for name in changes.keys() & faults:
        claims |= changes[name]
    return {name: value for name, value in claims.items() if value is not None}


def signed(faults: set[str], claims: dict[str, Any], *, key: RSAKey, kid: str, secret: str) -> str:
    """The ID token."""
    if "garbage" in faults:
        return "a.b.c"
    if "none" in faults:
        return jwt.encode({"alg": "none"}, claims, OctKey.import_key("unused"), algorithms=["none"])
    if "hs256" in faults:
        return jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(secret), algorithms=["HS256"])
    if "hs256_public" in faults:
        public = OctKey.import_key(json.dumps(key.as_dict(private=False)))
        return jwt.encode({"alg": "HS256", "kid": kid}, claims, public, algorithms=["HS256"])
    if "other_key" in faults:
        key = RSAKey.generate_key(2048)
    if "stray_key" in faults:
        kid = "never-published"
    return jwt.encode({"alg": "RS256", "kid": kid}, claims, key, algorithms=["RS256"])
