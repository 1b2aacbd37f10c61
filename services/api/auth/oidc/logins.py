"""All that logging in by a provider needs: the providers, and the states of logins that are under way."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.api.auth.oidc.login_states import LoginStates
from services.api.auth.oidc.provider import Provider
from services.api.auth.session_cookies import SessionCookies
from shared.errors import ProviderNotFound
from shared.oidc_providers import OidcProvider

CALLBACK: str = "/api/auth/oidc/{provider}/callback"


@dataclass(frozen=True, slots=True)
class OidcLogins:
    """`providers` by their ids, in the operator's order. `public_url` is where people reach the page, "" without providers."""

    providers: Mapping[str, Provider]
    states: LoginStates
    cookies: SessionCookies
    public_url: str

    def provider(self, provider_id: str) -> Provider:
        """One provider.

        Raises:
            ProviderNotFound: there is none with this id.

        """
        if (found := self.providers.get(provider_id)) is None:
            raise ProviderNotFound
        return found

    def provider_of(self, issuer: str) -> OidcProvider | None:
        """The provider of an issuer; None for one that the operator has taken away."""
        told = (provider.settings for provider in self.providers.values())
        return next((settings for settings in told if settings.issuer == issuer), None)


def redirect_uri(public_url: str, provider_id: str) -> str:
    """Where a provider sends people back to: the operator registers this very address there."""
    return public_url + CALLBACK.format(provider=provider_id)
