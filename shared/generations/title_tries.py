"""Tries for a chat's title: how often a model may be asked for one, and whether a title may be coming.

A try is counted before its job is sent. So whoever reads the chat when a short answer ends knows that a title may come, though
the job has not begun yet.
"""

from typing import Any, Final

from sqlalchemy import Update, and_, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from shared.database.ownership import NOT_IN_TRASH
from shared.database.tables import Chat
from shared.ids import ChatId

MAX_TRIES: Final = 3
"""So often a model is asked for a chat's title. A failure may be over at a later turn; an answer without a title stays one."""
GIVEN_UP: Final = MAX_TRIES + 1
"""The count of a chat whose title is asked for no more."""

AWAITS_TITLE: Final[ColumnElement[bool]] = and_(Chat.title_by == "message", NOT_IN_TRASH)
"""Whether the title is still the first words of the first message. A chat in the trash awaits none."""
MAY_BE_COMING: Final[ColumnElement[bool]] = AWAITS_TITLE & Chat.title_tries.between(1, MAX_TRIES)
"""Whether a try has been taken and none has been the last."""


def take_try(chat_id: ChatId) -> ReturningUpdate[int]:
    """Count a try. Returns the count: a title may be asked for up to MAX_TRIES. No row when no title is awaited any more."""
    counted: ReturningUpdate[Any] = (
        update(Chat)
        .where(Chat.id == chat_id, AWAITS_TITLE, Chat.title_tries <= MAX_TRIES)
        .values(title_tries=Chat.title_tries + 1)
        .returning(Chat.title_tries)
    )
    return counted


def give_up(chat_id: ChatId) -> Update:
    """Have no title asked for any more."""
    return update(Chat).where(Chat.id == chat_id).values(title_tries=GIVEN_UP)
