"""All routes of the API, by their routers."""

from functools import cache
from typing import Final, NamedTuple

from fastapi import APIRouter
from starlette.routing import BaseRoute

from services.api import docs, health
from services.api.accounts import credentials_router as credentials
from services.api.accounts import identities_router as identities
from services.api.accounts import keys_router as keys_of_users
from services.api.accounts import mail_router as mails_of_accounts
from services.api.accounts import oidc_router as oidc
from services.api.accounts import options_router as login_options
from services.api.accounts import password_router as passwords_of_accounts
from services.api.accounts import router as accounts
from services.api.accounts import second_factor_router as second_factors
from services.api.accounts import sessions_router as sessions
from services.api.admin import acts_router as acts
from services.api.admin import invites_router as invites
from services.api.admin import users_router as users
from services.api.chats import router as chats
from services.api.chats import search_router as chat_search
from services.api.chats import trash_router as chat_trash
from services.api.chats import versions_router as chat_versions
from services.api.data_sources import router as data_sources
from services.api.dependencies import SecuredRoutes
from services.api.doors import ai_sdk, native, openai
from services.api.feed import router as feed
from services.api.generations import router as generations
from services.api.memory import router as memory
from services.api.memory import shared_router as shared_memory
from services.api.operations import audit_router as audit
from services.api.operations import router as operations
from services.api.usage import router as usage
from services.api.web import router as web

DOORS: Final = (native.DOOR, ai_sdk.DOOR, openai.DOOR)
"""The front doors. A path belongs to the door with the longest prefix."""
_ROUTERS: Final = (
    accounts.router,
    credentials.router,
    keys_of_users.router,
    sessions.router,
    passwords_of_accounts.router,
    second_factors.router,
    login_options.router,
    oidc.router,
    identities.router,
    mails_of_accounts.router,
    chats.router,
    chat_versions.router,
    chat_trash.router,
    chat_search.router,
    data_sources.router,
    feed.router,
    *(door.router for door in DOORS),
    generations.router,
    memory.router,
    shared_memory.router,
    operations.router,
    audit.router,
    usage.router,
    users.router,
    invites.router,
    acts.router,
)


class Routes(NamedTuple):
    """Routes in the order in which they are tried, and those among them that ask for a principal."""

    all: tuple[BaseRoute, ...]
    secured: SecuredRoutes


@cache
def make_routes(*, docs_pages: bool, web_page: bool) -> Routes:
    """The routes of every application with these pages. They have no state, and FastAPI takes 0.1 s to look at them."""
    router = APIRouter()
    router.include_router(health.router)
    if docs_pages:
        router.include_router(docs.router)
    router.include_router(web.make_router(page=web_page))
    for of_users in _ROUTERS:
        router.include_router(of_users, responses={503: {"description": "database_unavailable"}})
    return Routes(tuple(router.routes), SecuredRoutes(router.routes))
