"""Whether passwords are taken here at all (PASSWORD_LOGIN)."""

from typing import Final

from fastapi import Depends

from services.api.dependencies import AppResources
from shared.errors import PasswordLoginOff


async def insist_on_password_login(resources: AppResources) -> None:
    """For each route that takes a password or sets one.

    Raises:
        PasswordLoginOff: the operator has switched passwords off.

    """
    if not resources.password_login:
        raise PasswordLoginOff


TAKES_PASSWORDS: Final = [Depends(insist_on_password_login)]
"""A route's dependencies."""
