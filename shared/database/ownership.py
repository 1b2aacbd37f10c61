"""Whose a chat is, and whether the chat is there: the rule of every statement that reads or changes chats.

A chat in the trash is absent for everybody but who lists, restores or empties the trash. A hidden chat is absent for
everybody but who answers in it: its generations can be found by their ids.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, select

from shared.database.tables import Chat, Generation

NOT_IN_TRASH: Final[ColumnElement[bool]] = Chat.deleted_at.is_(None)
"""Whether a chat is there at all, for statements that read a chat of whomever."""
CHAT_IS_THERE: Final[ColumnElement[bool]] = (
    select(Chat.id).where(Chat.id == Generation.chat_id, NOT_IN_TRASH).correlate(Generation).exists()
)
"""The same of a generation's chat."""
IS_HIDDEN: Final = select(Chat.is_hidden).where(Chat.id == Generation.chat_id).correlate(Generation).scalar_subquery()
"""Whether a generation's chat is hidden. Nothing of it is told to the user's feed."""


def owned_by(user_id: Any) -> ColumnElement[bool]:  # noqa: ANN401 - an id, or its place in a statement
    """Whether a chat is the user's, and there."""
    owned: ColumnElement[bool] = Chat.user_id == user_id
    return owned & NOT_IN_TRASH & ~Chat.is_hidden
