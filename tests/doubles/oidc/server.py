"""The provider: discovery, authorize, token, keys, userinfo, and the control API of tests.

It is strict where a provider has to be: one code for one exchange, PKCE by S256, the client's secret, the same redirect URI.
"""

import asyncio
import base64
import gzip
import hashlib
import html
import json
import secrets
from collections import Counter
from typing import Any, Final
from urllib.parse import urlencode

from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.doubles.oidc.directives import HUGE_BYTES, claims_for, signed

CLIENT_ID: Final = "cortexai"
CLIENT_SECRET: Final = "5a1fd0c2-secret-of-the-client"
SLOW_SECONDS: Final = 60


class Provider:
    """What the provider knows: its keys, and the codes and tokens that it has given."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self.asked: dict[str, str] = {}
        self.cookies: list[str] = []
        self.rotate()

    def rotate(self) -> None:
        """Sign with another key, and publish that one alone."""
        self.kid = secrets.token_hex(4)
        self.key = RSAKey.generate_key(2048)

    async def discovery(self, _request: Request) -> Response:
        """What the provider says of itself."""
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "authorization_response_iss_parameter_supported": True,
            "claims_parameter_supported": True,
            **self.settings.get("document", {}),
        }
        return await self._answer("discovery", {name: value for name, value in document.items() if value is not None})

    async def keys(self, _request: Request) -> Response:
        """The public keys."""
        key = {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "RS256"}
        others = [{"kty": "oct", "k": "AAAA", "kid": "a"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "AKP"}, 7]
        return await self._answer("keys", {"keys": [*others, key]})

    async def _answer(self, name: str, body: dict[str, Any]) -> Response:
        self.counts[name] += 1
        match self.settings.get(name, ""):
            case "down":
                return Response(status_code=503)
            case "slow":
                await asyncio.sleep(SLOW_SECONDS)
            case "huge":
                return JSONResponse({**body, "filling": "x" * HUGE_BYTES})
            case "page":
                return HTMLResponse("<h1>Welcome</h1>")
            case "elsewhere":
                return RedirectResponse(f"{self.issuer}/elsewhere/{name}")
        return JSONResponse(body)

    async def authorize(self, request: Request) -> Response:
        """Ask who it is."""
        asked = request.query_params
        self.counts["authorize"] += 1
        self.asked = dict(asked)
        needed = ("client_id", "redirect_uri", "state", "nonce", "code_challenge", "scope")
        if (
            any(name not in asked for name in needed)
            or (asked["client_id"], asked["response_type"], asked["code_challenge_method"])
            != (CLIENT_ID, "code", "S256")
            or "openid" not in asked["scope"].split()
        ):
            return HTMLResponse("<h1>Bad request</h1>", 400)
        hidden = "".join(f'<input type="hidden" name="{name}" value="{html.escape(asked[name])}">' for name in needed)
        return HTMLResponse(
            '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Acme</title><h1>Log in at Acme</h1>'
            f'<form method="post" action="/log-in">{hidden}'
            '<label>Address <input name="email" required></label> <button>Go on</button></form>'
        )

    async def log_in(self, request: Request) -> Response:
        """Log the person in whom the form names, and send the browser back with a code."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        faults = set(form.get("faults", "").split())
        email = form.get("email", "")
        person: dict[str, Any] = {"sub": form.get("sub") or hashlib.sha256(email.encode()).hexdigest()[:16]}
        if email:
            person |= {"email": email, "email_verified": json.loads(form.get("email_verified", "true"))}
        code = secrets.token_urlsafe()
        self.codes[code] = {"form": form, "person": person, "faults": faults}
        answer = {"state": form["state"], "iss": self.issuer, "code": code}
        if "denied" in faults:
            answer["error"] = "access_denied"
            del answer["code"]
        if "wrong_iss" in faults:
            answer["iss"] = "https://elsewhere.example"
        if "no_iss" in faults:
            del answer["iss"]
        return RedirectResponse(f"{form['redirect_uri']}?{urlencode(answer)}", 303)

    async def token(self, request: Request) -> Response:
        """Give an ID token for a code."""
        self.counts["token"] += 1
        self.cookies.append(request.headers.get("cookie", ""))
        form = {name: str(value) for name, value in (await request.form()).items()}
        credentials = f"Basic {base64.b64encode(f'{CLIENT_ID}:{CLIENT_SECRET}'.encode()).decode()}"
        in_body = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if request.headers.get("authorization") != credentials and not in_body:
            return JSONResponse({"error": "invalid_client"}, 401)
        given = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            given is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != given["form"]["redirect_uri"]
            or base64.urlsafe_b64encode(verifier).decode().rstrip("=") != given["form"]["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return await self._tokens(given)

    async def _tokens(self, given: dict[str, Any]) -> Response:
        faults: set[str] = given["faults"]
        access_token = secrets.token_urlsafe()
        self.tokens[access_token] = given
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = claims_for(
            faults,
            issuer=self.issuer,
            client_id=CLIENT_ID,
            nonce=given["form"]["nonce"],
            person=given["person"],
            at_hash=base64.urlsafe_b64encode(half).decode().rstrip("="),
        )
        body = {"access_token": access_token, "token_type": "Bearer", "expires_in": 300}
        if "no_id_token" not in faults:
            body["id_token"] = signed(faults, claims, key=self.key, kid=self.kid, secret=CLIENT_SECRET)
        if strange := self.settings.get("token"):
            return JSONResponse(strange["is"])
        if "huge" in faults:
            body["filling"] = "x" * HUGE_BYTES
        if "slow" in faults:
            await asyncio.sleep(SLOW_SECONDS)
        if "status_500" in faults:
            return JSONResponse({"error": "server_error"}, 500)
        if "page" in faults:
            return HTMLResponse("<h1>Welcome</h1>")
        if "compressed" in faults:
            return Response(gzip.compress(json.dumps(body).encode()), headers={"Content-Encoding": "gzip"})
        headers = {"Set-Cookie": "person=1; Path=/"} if "cookie" in faults else {}
        return JSONResponse(body, headers=headers)

    async def userinfo(self, request: Request) -> Response:
        """What is known of the person of an access token."""
        self.counts["userinfo"] += 1
        given = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if given is None:
            return JSONResponse({"error": "invalid_token"}, 401)
        sub = "somebody-else" if "other_sub" in given["faults"] else given["person"]["sub"]
        return JSONResponse({**given["person"], "sub": sub})

    async def control(self, request: Request) -> Response:
        """Change how the provider is, and tell what it was asked."""
        body = await request.json()
        if body.pop("rotate", False):
            self.rotate()
        if body.pop("reset", False):
            self.settings = {}
            self.counts.clear()
        self.settings |= body
        return JSONResponse({"counts": self.counts, "asked": self.asked, "cookies": self.cookies})


def make_app(issuer: str) -> Starlette:
    """The provider as an application."""
    provider = Provider(issuer)
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", provider.discovery),
            Route("/keys", provider.keys),
            Route("/authorize", provider.authorize),
            Route("/log-in", provider.log_in, methods=["POST"]),
            Route("/token", provider.token, methods=["POST"]),
            Route("/userinfo", provider.userinfo),
            Route("/control", provider.control, methods=["POST"]),
        ]
    )
