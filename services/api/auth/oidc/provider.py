"""One provider: where people are sent, and whom it has identified when they come back."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ssl import SSLContext
from typing import Any, Final

from authlib.integrations.base_client import OAuthError
from joserfc.jwk import KeySet

from services.api.auth.fair_queue import FairQueue
from services.api.auth.oidc.discovery import Metadata, read_metadata
from services.api.auth.oidc.fetching import (
    FAILURES,
    MAX_CONNECTIONS,
    WITHIN,
    CachedDocument,
    get_json,
    open_client,
    reason_of,
)
from services.api.auth.oidc.id_tokens import Identity, UnknownKey, read_email, read_identity, read_keys, verify
from services.api.auth.oidc.login_states import LoginState
from shared.errors import IdentityInvalid, IdentityNotFresh, ProviderUnavailable
from shared.oidc_providers import OidcProvider, document_of
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

METADATA_FRESH_FOR: Final = 3600.0
KEYS_FRESH_FOR: Final = 600.0
"""Seconds: for so long a key is taken that the provider has withdrawn."""
KNOWN_ERRORS: Final = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "access_denied", "server_error", "temporarily_unavailable", "login_required"),
        *("interaction_required", "consent_required", "account_selection_required"),
    }
)
"""What a log may repeat of what a provider says (RFC 6749, section 5.2; OpenID Connect Core, section 3.1.2.6)."""
_STRANGE_TOKENS: Final = (TypeError, AttributeError, OverflowError)
"""How authlib fails at the time until which a token is good, where that is no number."""


def known_error(told: object) -> str:
    """An error that a provider tells, as a log may repeat it."""
    return told if isinstance(told, str) and told in KNOWN_ERRORS else "other"


@dataclass(frozen=True, slots=True)
class Identified:
    """An identity, and the token by which the provider tells more of it; None where it gave none."""

    identity: Identity
    access_token: str | None = field(repr=False)


class Provider:
    """A provider, asked by the authorization code flow with PKCE (RFC 7636).

    `redirect_uri` is where it sends people back to: each provider has its own (RFC 9700, section 4.4). `leeway` is how far
    clocks may differ, in seconds. `tls` says whose certificates are good. `clock` counts seconds.

    What the provider says of itself, and its keys, are kept for a while.
    """

    def __init__(
        self,
        settings: OidcProvider,
        redirect_uri: str,
        *,
        leeway: int,
        tls: SSLContext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._leeway = leeway
        self._redirect_uri = redirect_uri
        self._client = open_client(settings, redirect_uri, tls)
        self._metadata = CachedDocument(
            f"{settings.id} metadata", self._fetch_metadata, fresh_for=METADATA_FRESH_FOR, clock=clock
        )
        self._keys = CachedDocument(f"{settings.id} keys", self._fetch_keys, fresh_for=KEYS_FRESH_FOR, clock=clock)
        self._turns = FairQueue(MAX_CONNECTIONS)

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def address_for(self, state: LoginState) -> str:
        """Where a person is sent.

        Raises:
            ProviderUnavailable: the provider does not say where.

        """
        metadata = await self._metadata.get()
        fresh: dict[str, Any] = {}
        if state.purpose == "proof":
            fresh = {"prompt": "login", "max_age": "0"}
            if metadata.takes_claims:
                fresh["claims"] = json.dumps({"id_token": {"auth_time": {"essential": True}}})
        url, _ = self._client.create_authorization_url(
            metadata.authorization_endpoint,
            state=state.state,
            code_verifier=state.verifier,
            nonce=state.nonce,
            **fresh,
        )
        return str(url)

    async def check_issuer(self, told: str | None) -> None:
        """See that an answer that a browser has brought is this provider's, and no other's (RFC 9207).

        Raises:
            IdentityInvalid: it is another's, or does not say whose although this provider does.
            ProviderUnavailable: the provider does not say whether it does.

        """
        metadata = await self._metadata.get()
        if told != self.settings.issuer and (told is not None or metadata.names_itself):
            raise IdentityInvalid("iss_of_the_answer")

    async def identify(self, code: str, state: LoginState, network: str) -> Identified:
        """Whom the provider has identified, by the code that the person has brought back to `network`.

        Raises:
            IdentityInvalid: the provider does not take the code, or what it says of the person is not good.
            IdentityNotFresh: a proof is asked for, and the provider does not say that the person has just given one.
            ProviderUnavailable: it does not answer.
            TooBusy: too many wait for this provider.

        """
        async with self._turns.take(network, state.state):
            metadata = await self._metadata.get()
            token = await self._exchange(metadata, code, state)
            id_token, access_token = token.get("id_token"), token.get("access_token")
            if not isinstance(id_token, str):
                raise IdentityInvalid("no_id_token")
            access_token = access_token if isinstance(access_token, str) else None
            verified = await self._verify(id_token)
        identity = read_identity(
            verified,
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=state.nonce,
            access_token=access_token,
            leeway=self._leeway,
        )
        if state.purpose == "proof" and (identity.auth_time or 0) < state.began - self._leeway:
            raise IdentityNotFresh
        return Identified(identity, access_token)

    async def with_email(self, found: Identified, network: str) -> Identity:
        """The identity with its e-mail address, for which the provider is asked where the ID token has none.

        Raises:
            IdentityInvalid: the answer is about somebody else (OpenID Connect Core, section 5.3.2).
            ProviderUnavailable, TooBusy: as `identify`.

        """
        identity, url = found.identity, (await self._metadata.get()).userinfo_endpoint
        if identity.email is not None or url is None or found.access_token is None:
            return identity
        async with self._turns.take(network, identity.subject):
            try:
                claims = await get_json(self._client, url, bearer=found.access_token)
            except FAILURES as error:
                raise self._unavailable("userinfo", error) from error
        if claims.get("sub") != identity.subject:
            raise IdentityInvalid("sub_of_userinfo")
        email, verified = read_email(claims)
        return replace(identity, email=email, email_verified=verified)

    async def _exchange(self, metadata: Metadata, code: str, state: LoginState) -> dict[str, Any]:
        """What the provider gives for a code. Asked once: a code is good once."""
        has_secret = self.settings.client_secret is not None
        method = "client_secret_post" if metadata.secret_in_body else "client_secret_basic"
        try:
            async with asyncio.timeout(WITHIN):
                token: dict[str, Any] = await self._client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=state.verifier,
                    redirect_uri=self._redirect_uri,
                    auth=self._client.client_auth(method if has_secret else "none"),
                )
        except OAuthError as error:
            raise IdentityInvalid(known_error(error.error)) from error
        except (*FAILURES, *_STRANGE_TOKENS) as error:
            raise self._unavailable("token", error) from error
        finally:
            self._client.token = None  # nobody else's requests may carry it
        return token

    async def _verify(self, id_token: str) -> Any:  # noqa: ANN401 - joserfc's
        """The token, whose signature is right. A key that is unknown may be a new one."""
        keys = await self._keys.get()
        try:
            return verify(id_token, keys)
        except UnknownKey:
            keys = await self._keys.get_newer(keys)
        try:
            return verify(id_token, keys)
        except UnknownKey as error:
            raise IdentityInvalid("unknown_key") from error

    async def _fetch_metadata(self) -> Metadata:
        issuer = self.settings.issuer
        return read_metadata(await get_json(self._client, document_of(issuer)), issuer)

    async def _fetch_keys(self) -> KeySet:
        return read_keys(await get_json(self._client, (await self._metadata.get()).jwks_uri))

    def _unavailable(self, what: str, error: Exception) -> ProviderUnavailable:
        log.warning("provider_not_answering", document=f"{self.settings.id} {what}", failures=1, error=reason_of(error))
        return ProviderUnavailable()
