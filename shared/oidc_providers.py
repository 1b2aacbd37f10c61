"""The OpenID providers that OIDC_PROVIDERS names, by which people log in with their company's account.

Source: OpenID Connect Core 1.0; OpenID Connect Discovery 1.0.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from shared.urls import read_url

MAX_PROVIDERS: Final = 20
MAX_NAME_CHARS: Final = 60
DEFAULT_SCOPES: Final = "openid email profile"
WELL_KNOWN: Final = "/.well-known/openid-configuration"
MAX_DOCUMENT_BYTES: Final = 256 * 1024
"""Of one answer of a provider's. The largest known documents have some 20 KB."""
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ID: Final = re.compile("[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_SCOPES: Final = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")
"""RFC 6749, section 3.3."""
_REQUIRED: Final = ("id", "name", "issuer", "client_id")
_OPTIONAL: Final = ("client_secret", "scopes")


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """One provider. `id` stands in paths, `name` on the page. `issuer` is compared with what the provider says, letter by letter.

    `client_secret` is None for a public client, which has PKCE alone.
    """

    id: str
    name: str
    issuer: str
    client_id: str
    client_secret: SecretStr | None = None
    scopes: str = DEFAULT_SCOPES


def read_providers(text: str) -> tuple[OidcProvider, ...]:
    """The providers of a JSON list.

    Raises:
        ValueError: it is none, or an entry can't be used. The message names the entry and the field, and quotes nothing.

    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("must be a JSON list of providers; in .env, in single quotes") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("must be a JSON list of objects")
    if len(entries) > MAX_PROVIDERS:
        raise ValueError(f"must have at most {MAX_PROVIDERS} providers")
    providers = tuple(_provider(entry, f"provider {number}") for number, entry in enumerate(entries, 1))
    for name in ("id", "issuer"):
        if len({getattr(provider, name) for provider in providers}) < len(providers):
            raise ValueError(f"must not have the same {name} twice")
    return providers


def document_of(issuer: str) -> str:
    """The address of an issuer's document (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.rstrip("/") + WELL_KNOWN


def insist_on_tls(url: str) -> None:
    """Refuse an address at which somebody on the way could read or change what is said. This machine's own may be http.

    Raises:
        ValueError: it is no address, or one of plain HTTP elsewhere. The message quotes nothing.

    """
    read = read_url(url, ("https", "http"))
    ((host, _),) = read.hosts[:1]
    if read.account or len(read.hosts) > 1 or not host:
        raise ValueError("must be an address such as https://login.example.com")
    if read.scheme == "http" and host.lower() not in LOOPBACK:
        raise ValueError("must begin with https://, but on this machine")


def _provider(entry: Mapping[str, Any], where: str) -> OidcProvider:
    _insist_on_texts(entry, where)
    if not _ID.fullmatch(entry["id"]):
        raise ValueError(f"{where}: id: must be at most 32 small letters, digits and `-`, since it stands in addresses")
    if len(entry["name"]) > MAX_NAME_CHARS:
        raise ValueError(f"{where}: name: must have at most {MAX_NAME_CHARS} characters")
    try:
        insist_on_tls(entry["issuer"])
    except ValueError as error:
        raise ValueError(f"{where}: issuer: {error}") from None
    if "?" in entry["issuer"]:
        raise ValueError(f"{where}: issuer: must have no query")
    scopes = entry.get("scopes", DEFAULT_SCOPES)
    if not _SCOPES.fullmatch(scopes) or "openid" not in scopes.split():
        raise ValueError(f"{where}: scopes: must be words with a space between them, openid among them")
    secret = entry.get("client_secret")
    return OidcProvider(
        entry["id"],
        entry["name"].strip(),
        entry["issuer"],
        entry["client_id"],
        SecretStr(secret) if secret else None,
        scopes,
    )


def _insist_on_texts(entry: Mapping[str, Any], where: str) -> None:
    for name in _REQUIRED:
        if name not in entry:
            raise ValueError(f"{where}: has no {name}")
    for name, value in entry.items():
        if name not in _REQUIRED + _OPTIONAL:
            raise ValueError(f"{where}: has a field that is none of {', '.join(_REQUIRED + _OPTIONAL)}")
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ValueError(f"{where}: {name}: must be a text")
