"""The history index in PostgreSQL: a table of hashed terms with a GIN index, ranked by how rare the terms are in the chat."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import insert

from services.worker.look_up.excerpts import MAX_SEARCHED_CHARS, excerpt
from services.worker.look_up.port import FoundMessage, IndexedMessage, IndexEntry, Scope
from services.worker.look_up.terms import distinct_terms
from shared.database.engine import Connection, Database
from shared.database.tables import MessageTerms
from shared.ids import ChatId
from shared.memory.masking import Mask

BEFORE_SHARE: Final = 0.3
"""What a term counts that only the message before the question has."""
MAX_ASKED: Final = 24
"""So many terms of a question are looked for: whole words before pieces and stems, those with digits or marks first, then the
longest. The pieces of one long id would else leave no room for words."""
MAX_ASKED_BEFORE: Final = 12
QUESTION_CHARS: Final = 2_000
"""Of a longer question, the beginning and the end of so many characters are read: there people say what they want."""
MAX_ROWS: Final = 300
"""Of one term. A term that so many messages have says little, and must not take long: it counts only where all are like it."""
LEAST_SHARE: Final = 0.35
"""A message that is worth less than this share of the best one is not given: it has only what is common."""
SHORT_CHARS: Final = 300
"""A text of so many characters is read on the event loop: a thread takes about as long to begin."""
FEW_FORGOTTEN: Final = 20
"""So many values are masked in short texts on the event loop too."""
SPARE: Final = 10
"""So many more rows are read, for messages that say the same as another."""
USER_BOOST: Final = 1.2

# The rarity is that of BM25 (Robertson and Zaragoza, 2009), as float8: arithmetic with numeric takes longer than the search.
# The rows of a term come from the index of this one table; only those that are given are looked up in `messages`, where the
# chat is checked again. The limit of one row keeps the planner from reading the whole chat instead, where it believes that
# a chat has few messages.
FIND: Final = text(f"""
WITH asked AS (
    SELECT * FROM unnest(CAST(:terms AS bigint[]), CAST(:weights AS float8[])) AS asked (term, weight)
), matched AS MATERIALIZED (
    SELECT asked.term, asked.weight, hit.message_id, hit.position, hit.by_user
    FROM asked CROSS JOIN LATERAL (
        SELECT message_id, position, by_user FROM message_terms
        WHERE terms @> ARRAY[asked.term] AND position > :after AND position <= :upto
        LIMIT {MAX_ROWS}
    ) AS hit
), counted AS MATERIALIZED (
    SELECT term, weight, count(*)::float8 AS rows, bool_and(count(*) >= {MAX_ROWS}) OVER () AS all_common
    FROM matched GROUP BY term, weight
), rare AS MATERIALIZED (
    SELECT term, weight * ln(1 + (greatest(:among - rows, 0) + 0.5::float8) / (rows + 0.5::float8)) AS worth
    FROM counted WHERE rows < {MAX_ROWS} OR all_common
), scored AS (
    SELECT message_id, position, sum(worth) * CASE WHEN by_user THEN {USER_BOOST}::float8 ELSE 1 END AS score
    FROM matched JOIN rare USING (term)
    GROUP BY message_id, by_user, position
    ORDER BY score DESC, position DESC
    LIMIT :limit
)
SELECT found.position, found.role, found.day, found.content, scored.score
FROM scored CROSS JOIN LATERAL (
    SELECT chat_id, position, role, replaced, (created_at AT TIME ZONE 'UTC')::date AS day,
        left(content, {MAX_SEARCHED_CHARS}) AS content
    FROM messages WHERE id = scored.message_id LIMIT 1
) AS found
WHERE found.chat_id = :chat AND found.position > :after AND found.position <= :upto AND NOT found.replaced
    AND EXISTS (SELECT 1 FROM chats WHERE chats.id = :chat AND chats.user_id = :user AND chats.deleted_at IS NULL)
ORDER BY scored.score DESC, found.position DESC
""")  # noqa: S608 - constants of ours


class PostgresIndex:
    """Keeps the terms of messages in the table `message_terms`. The best found messages are those with the rarest terms.

    Terms and excerpts are made on threads: there may be much text. No connection of the `database` is taken for that time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, chat_id: ChatId, messages: Sequence[IndexedMessage]) -> Sequence[IndexEntry]:
        """What `add` saves of these messages: rows of the table. See the port."""
        return await asyncio.to_thread(_rows, chat_id, messages)

    async def add(self, db: Connection, entries: Sequence[IndexEntry]) -> None:
        """Have the prepared messages found from now on. See the port."""
        if not entries:
            return
        statement = insert(MessageTerms)
        await db.execute(
            statement.on_conflict_do_update(
                index_elements=[MessageTerms.message_id], set_={"terms": statement.excluded.terms}
            ),
            entries,
        )

    async def find(self, scope: Scope, question: str, *, before: str = "", limit: int) -> list[FoundMessage]:
        """The messages that bear on the question. See the port."""
        if scope.upto <= scope.after:
            return []
        is_short = len(question) + len(before) <= SHORT_CHARS
        asked = asked_terms(question, before) if is_short else await asyncio.to_thread(asked_terms, question, before)
        if not asked:
            return []
        async with self._database.connect() as db:
            rows = (await db.execute(FIND, parameters(scope, asked, limit + SPARE))).all()
        best = list(_best(rows, (question, before), limit))
        if len(scope.forgotten) <= FEW_FORGOTTEN and all(len(row.content) <= SHORT_CHARS for row in best):
            return _told(best, asked, scope.forgotten)
        return await asyncio.to_thread(_told, best, asked, scope.forgotten)


def _best(rows: Sequence[Row[Any]], questions: Sequence[str], limit: int) -> list[Row[Any]]:
    """The rows that are worth telling, at most `limit`. Empty when all say the same as the questions."""
    others = list(_said_once(rows, *questions))
    return [row for row in others if row.score >= LEAST_SHARE * others[0].score][:limit]


def _told(rows: Sequence[Row[Any]], asked: Mapping[str, float], forgotten: Sequence[str]) -> list[FoundMessage]:
    """The rows as they are told. Masked first: an excerpt may begin inside what was taken back."""
    mask = Mask(forgotten)
    return [FoundMessage(row.position, row.role, row.day, excerpt(mask(row.content), asked)) for row in rows]


def _said_once(rows: Sequence[Row[Any]], *asked: str) -> Iterator[Row[Any]]:
    """The rows without messages that say the same as a better one, or as what is asked: it would be its own best match."""
    said = {" ".join(text.split()) for text in asked}
    for row in rows:
        text_of_it = " ".join(row.content.split())
        if text_of_it not in said:
            said.add(text_of_it)
            yield row


def parameters(scope: Scope, asked: Mapping[str, float], limit: int) -> dict[str, Any]:
    """The values of FIND."""
    return {
        "terms": [term_hash(scope.chat_id, term) for term in asked],
        "weights": list(asked.values()),
        "after": scope.after,
        "upto": scope.upto,
        "among": scope.upto - scope.after,
        "limit": limit,
        "chat": scope.chat_id,
        "user": scope.user_id,
    }


def asked_terms(question: str, before: str = "") -> dict[str, float]:
    """The terms that are looked for, each with its weight. `before` is what the user said before the question."""
    asked = _foremost(question, MAX_ASKED)
    for term, weight in _foremost(before, MAX_ASKED_BEFORE).items():
        asked.setdefault(term, weight * BEFORE_SHARE)
    return asked


def _foremost(question: str, most: int) -> dict[str, float]:
    if len(question) > 2 * QUESTION_CHARS:
        question = f"{question[:QUESTION_CHARS]} {question[-QUESTION_CHARS:]}"
    terms = distinct_terms(question)
    ranked = sorted(terms, key=lambda term: (-terms[term], term.isalpha(), -len(term)))
    return {term: terms[term] for term in ranked[:most]}


def term_hash(chat_id: ChatId, term: str) -> int:
    """A term as a bigint: the chat in the upper half, a hash of the term in the lower half.

    So no term of one chat is one of another, and the index keeps the terms of a chat together. Ids of chats that differ by
    2^32 share their upper half; the query checks the chat again.
    """
    lower = hashlib.blake2b(term.encode(errors="surrogatepass"), digest_size=4).digest()
    upper = (chat_id & 0xFFFF_FFFF).to_bytes(4, "big")
    return int.from_bytes(upper + lower, "big", signed=True)


def _rows(chat_id: ChatId, messages: Sequence[IndexedMessage]) -> list[IndexEntry]:
    """One row for each message that has terms, by id: so that two who write the same rows do not wait for each other."""
    return [
        {
            "message_id": message.id,
            "position": message.position,
            "by_user": message.role == "user",
            "terms": sorted({term_hash(chat_id, term) for term in terms}),
        }
        for message in sorted(messages)
        if (terms := distinct_terms(message.content))
    ]
