"""Taking over: what a process of the release before wrote into a chat's row goes into the tables of segments and facts.

That release knows no segments. It makes one summary of all that is behind the watermark, or forgets all. Either shows:
the segments end elsewhere than at the watermark.
"""

from typing import Final

from sqlalchemy import text

from shared.database.engine import Connection
from shared.ids import ChatId

# One statement, so that it needs no transaction. Of two at once the second waits for the chat's row, finds that the version
# has changed, and does nothing: what it saw of the other tables is out of date.
_TAKE_OVER: Final = text("""
WITH behind AS (
    UPDATE chats SET memory_version = memory_version + 1
    WHERE id = :chat AND memory_version = coalesce(CAST(:version AS bigint), memory_version)
        AND summary_position <> coalesce((SELECT max(last_position) FROM memory_segments WHERE chat_id = chats.id), 0)
    RETURNING id, user_id, summary, summary_position, facts
), gone AS (
    DELETE FROM memory_segments USING behind
    WHERE memory_segments.chat_id = behind.id AND first_position <> least(1, behind.summary_position)
), told AS (
    INSERT INTO memory_segments (chat_id, first_position, last_position, text, kind)
    SELECT id, least(1, summary_position), summary_position, coalesce(summary, ''), 'summary' FROM behind
    WHERE summary_position > 0 OR summary IS NOT NULL
    ON CONFLICT (chat_id, first_position) DO UPDATE SET last_position = excluded.last_position, text = excluded.text,
        kind = excluded.kind, tries = 0
)
INSERT INTO memory_facts (user_id, chat_id, message_id, position, kind, text, quote, source, is_pinned, said_at)
SELECT behind.user_id, behind.id, said.id, said.position, 'other', left(fact ->> 'text', 200),
    CASE WHEN said.id IS NULL THEN '' ELSE left(fact ->> 'text', 200) END,
    CASE WHEN said.id IS NOT NULL THEN 'user' WHEN fact ->> 'pinned' = 'true' THEN 'edited' ELSE 'assistant' END,
    coalesce(fact ->> 'pinned' = 'true', false), coalesce(said.created_at, now())
FROM behind CROSS JOIN jsonb_array_elements(
    CASE jsonb_typeof(behind.facts) WHEN 'array' THEN behind.facts ELSE '[]' END
) WITH ORDINALITY AS listed (fact, place)
LEFT JOIN messages AS said ON said.chat_id = behind.id AND said.position::text = fact ->> 'position'
    AND said.role = 'user' AND NOT said.replaced
    AND position(fact ->> 'text' IN regexp_replace(said.content, '\\s+', ' ', 'g')) > 0
WHERE coalesce(fact ->> 'text', '') <> ''
    AND NOT EXISTS (SELECT 1 FROM memory_facts WHERE chat_id = behind.id AND memory_facts.text = left(fact ->> 'text', 200))
ORDER BY place
""")


async def take_over(db: Connection, chat_id: ChatId, version: int | None = None) -> None:
    """Take over the chat's summary and facts, if its segments end elsewhere than at the watermark.

    And if the memory has this version. None does for whoever has locked the chat.
    """
    await db.execute(_TAKE_OVER, {"chat": chat_id, "version": version})
