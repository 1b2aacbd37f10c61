"""Renaming a chat, by whoever does it for the user."""

from typing import Final

from sqlalchemy import Update, func, update

from shared.database.ownership import owned_by
from shared.database.tables import Chat
from shared.ids import ChatId, UserId

MAX_TITLE_CHARS: Final = 200


def rename(user_id: UserId, chat_id: ChatId, title: str) -> Update:
    """Give a chat of the user's a title that no model changes any more. Changes no row where the user has no such chat."""
    return (
        update(Chat)
        .where(Chat.id == chat_id, owned_by(user_id))
        .values(title=title, title_by="user", updated_at=func.now())
    )
