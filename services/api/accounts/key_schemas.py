"""Bodies of the routes about API keys."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, Strict, StringConstraints

from services.api.auth.principal import SCOPES, KeyScope
from services.api.fields import Body, NotBlank, OneLine, Storable, View

MAX_NAME_CHARS: Final = 100
MAX_DAYS: Final = 3650
DEFAULT_DAYS: Final = 90

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS), Storable, NotBlank, OneLine
]


def _in_order(scopes: list[KeyScope]) -> list[KeyScope]:
    """Each scope once."""
    return [scope for scope in SCOPES if scope in scopes]


class NewKey(Body):
    """An API key to make. `scopes`: `read` to read, `chat` to read and write; `admin` is for admins.

    Without `expires_in_days` the key lasts 90 days; null means that it does not expire.
    """

    name: Name
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=len(SCOPES)), AfterValidator(_in_order)]
    expires_in_days: Annotated[int, Strict(), Field(ge=1, le=MAX_DAYS)] | None = DEFAULT_DAYS


class KeyChange(Body):
    """Another name for an API key."""

    name: Name


class KeyView(View):
    """An API key as its owner sees it. `shown` is its beginning. `expires_at` is null where the key does not expire.

    `last_used_at` is exact to five minutes, and null where the key was never used.
    """

    id: int
    name: str
    shown: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class MadeKey(KeyView):
    """A new API key. `key` is shown here, and never again."""

    key: str
