"""Finding a user's chats by the words in their titles and messages.

No index has the words of messages that are not summarized yet, and the index of the others knows each chat's words apart. So the
titles of all chats are searched, and the newest messages of the newest chats: a search takes a bounded time.
"""

import re
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text

from shared.database.engine import Connection
from shared.ids import ChatId, MessageId, UserId
from shared.visible_text import ELLIPSIS

MAX_QUERY_CHARS: Final = 200
MAX_WORDS: Final = 8
"""Of a longer query, only so many words are looked for, the first ones."""
SEARCHED_CHATS: Final = 100
"""The messages of so many chats are searched: of those with the newest activity."""
SEARCHED_MESSAGES: Final = 60
"""So many messages of each of these chats are searched, the newest ones."""
SEARCHED_CHARS: Final = 1_000
"""So much of each of these messages is searched, from its beginning."""
EXCERPT_CHARS: Final = 200
MARGIN: Final = 60
"""Characters of an excerpt in front of the word that was found."""


class FoundInMessage(NamedTuple):
    """The newest message of a chat that has all words, and the part of its text where one of them stands."""

    id: MessageId
    position: int
    excerpt: str


class FoundChat(NamedTuple):
    """A chat that was found: by its title where `message` is None, else by that message."""

    id: ChatId
    title: str | None
    created_at: datetime
    last_message_at: datetime
    message: FoundInMessage | None = None


_MEANING: Final = re.compile(r"([\\%_])")
_MINE: Final = "user_id = :user AND deleted_at IS NULL AND NOT is_temporary"
_IN_TITLES: Final = text(f"""
SELECT id, title, created_at, last_message_at FROM chats
WHERE {_MINE} AND title ILIKE ALL (CAST(:patterns AS text[]))
ORDER BY last_message_at DESC, id DESC LIMIT :limit
""")  # noqa: S608 - constants of ours
_IN_MESSAGES: Final = text(f"""
SELECT newest.id, newest.title, newest.created_at, newest.last_message_at, said.id AS message_id, said.position, said.words
FROM (
    SELECT id, title, created_at, last_message_at FROM chats
    WHERE {_MINE} ORDER BY last_message_at DESC, id DESC LIMIT {SEARCHED_CHATS}
) AS newest CROSS JOIN LATERAL (
    SELECT id, position, words FROM (
        SELECT id, position, left(content, {SEARCHED_CHARS}) AS words FROM messages
        WHERE chat_id = newest.id AND NOT replaced ORDER BY position DESC LIMIT {SEARCHED_MESSAGES}
    ) AS searched
    WHERE words ILIKE ALL (CAST(:patterns AS text[])) ORDER BY position DESC LIMIT 1
) AS said
WHERE newest.id <> ALL (CAST(:found AS bigint[]))
ORDER BY newest.last_message_at DESC, newest.id DESC LIMIT :limit
""")  # noqa: S608 - likewise


async def search_chats(db: Connection, user_id: UserId, query: str, *, limit: int) -> list[FoundChat]:
    """The user's chats whose title has all words of the query, then those with a message that has them, at most `limit`.

    Of each kind, the chats with the newest activity come first. A word may be a part of a longer one; case does not matter.
    Temporary chats are not found. A query of nothing but spaces finds nothing.
    """
    words = query.split()[:MAX_WORDS]
    if not words:
        return []
    asked = {"user": user_id, "patterns": [_pattern(word) for word in words]}
    by_title = await db.execute(_IN_TITLES, {**asked, "limit": limit})
    found = [FoundChat(*row) for row in by_title]
    if len(found) == limit:
        return found
    rest = {"found": [chat.id for chat in found], "limit": limit - len(found)}
    for row in await db.execute(_IN_MESSAGES, {**asked, **rest}):
        message = FoundInMessage(MessageId(row.message_id), row.position, _excerpt(row.words, words))
        found.append(FoundChat(ChatId(row.id), row.title, row.created_at, row.last_message_at, message))
    return found


def _pattern(word: str) -> str:
    """What LIKE takes for texts that have this word. Characters that mean something to LIKE stand for themselves."""
    return "%" + _MEANING.sub(r"\\\1", word) + "%"


def _excerpt(said: str, words: list[str]) -> str:
    """The part of a message around the first word of the query that is found there, with ellipses where it is cut."""
    found = re.search("|".join(map(re.escape, words)), said, re.IGNORECASE)
    begin = max(0, min((found.start() if found else 0) - MARGIN, len(said) - EXCERPT_CHARS))
    end = begin + EXCERPT_CHARS
    front, back = ELLIPSIS if begin else "", ELLIPSIS if end < len(said) else ""
    return f"{front}{said[begin:end].strip()}{back}"
