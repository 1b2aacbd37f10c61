"""Which ways in there are: what a page asks before it shows how to sign in."""

from fastapi import APIRouter

from services.api.accounts.oidc_schemas import LoginOptions, ProviderView
from services.api.dependencies import AppResources

router = APIRouter(prefix="/api/auth", tags=["auth"])


@router.get("/options")
async def get_options(resources: AppResources) -> LoginOptions:
    """By which ways people get in here. Anybody may ask."""
    providers = [each.settings for each in resources.oidc.providers.values()]
    return LoginOptions(
        signup=resources.signup_mode,
        mail=resources.has_mail,
        password=resources.password_login,
        providers=[ProviderView(id=each.id, name=each.name) for each in providers],
    )
