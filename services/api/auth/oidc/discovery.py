"""What a provider says of itself. Source: OpenID Connect Discovery 1.0; RFC 8414; RFC 9207."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.api.auth.oidc.fetching import AnswerUnusable
from shared.oidc_providers import insist_on_tls

MAX_URL_CHARS: Final = 2048


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where a provider is asked for what. `userinfo_endpoint` is None where there is none.

    `names_itself`: its answers say which issuer they are of (RFC 9207). `takes_claims`: a request may name claims.
    `secret_in_body`: it takes a client's secret in the body alone.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    names_itself: bool
    takes_claims: bool
    secret_in_body: bool


def read_metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """What the document of an issuer says.

    Raises:
        AnswerUnusable: the document is another issuer's (section 4.3), or lacks an address, or has an unsafe one.

    """
    if document.get("issuer") != issuer:
        raise AnswerUnusable("another_issuer")
    methods = document.get("token_endpoint_auth_methods_supported")
    methods = methods if isinstance(methods, list) else ["client_secret_basic"]
    return Metadata(
        authorization_endpoint=_address(document, "authorization_endpoint", issuer),
        token_endpoint=_address(document, "token_endpoint", issuer),
        jwks_uri=_address(document, "jwks_uri", issuer),
        userinfo_endpoint=_address(document, "userinfo_endpoint", issuer) if "userinfo_endpoint" in document else None,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        takes_claims=document.get("claims_parameter_supported") is True,
        secret_in_body="client_secret_post" in methods and "client_secret_basic" not in methods,
    )


def _address(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """An address of the document's. Only an issuer on this machine, by plain HTTP, may name others that are so too."""
    url = document.get(name)
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS:
        raise AnswerUnusable(f"no_{name}")
    try:
        insist_on_tls(url)
    except ValueError as error:
        raise AnswerUnusable(f"unsafe_{name}") from error
    if issuer.startswith("https://") and not url.startswith("https://"):
        raise AnswerUnusable(f"unsafe_{name}")
    return url
