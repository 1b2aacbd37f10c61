"""How long does a look-up take in a large table, and how many facts does it find? See README.md."""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from alembic import command
from sqlalchemy import text

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.migrations import configuration
from services.worker.look_up.port import IndexedMessage, Scope
from services.worker.look_up.postgres import FIND, PostgresIndex, asked_terms, parameters, term_hash
from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.ids import ChatId, MessageId, UserId

WORDS: Final = 40
"""Distinct terms of a message that is not looked for."""
VOCABULARY: Final = 20_000
COMMON: Final = 100
"""Words of a lower rank are in more than 4 of 100 messages. In a language most of these are stop words."""
LIMIT: Final = 6
CHAT: Final = ChatId(1)
USER: Final = UserId(1)


class Planted(NamedTuple):
    """A fact as it is said, and a question that shares one word of content with it."""

    fact: str
    question: str


PLANTED: Final = (
    Planted("My name is Zelda Quist, and I was born in Turku.", "Where was I born?"),
    Planted("I am vegetarian.", "Which restaurant suits a vegetarian like me?"),
    Planted("I'm allergic to peanuts.", "Can I eat this, with my allergies?"),
    Planted("The doctor gives me 5 mg of warfarin a day.", "How much warfarin is it?"),
    Planted("call me sam", "What shall you call me, Sam or Samuel?"),
    Planted("my dog's called biscuit", "How old may my dog get?"),
    Planted("We decided to go with PostgreSQL for the ledger.", "What did we decide about the ledger?"),
    Planted("The budget for the offsite is 12,500 euros.", "Is 12500 enough?"),
    Planted("The booking code is QX-7741-B.", "What belongs to QX7741B?"),
    Planted("Deploy with --dry-run first, from /srv/cortex/bin.", "What is in /srv/cortex/bin?"),
    Planted("The flag is called use_new_parser.", "Is use_new_parser on?"),
    Planted("Write to z.quist@example.org when it is booked.", "Whose address is quist?"),
    Planted("We leave on 14.05.2027 at 18:30.", "Which train do we take on 14.05.2027?"),
    Planted("My sister Petra lives at 77 Quay Street.", "Who lives on Quay Street?"),
    Planted("Never use semicolons in my texts.", "Shall I put semicolons here?"),
    Planted("getUserProfile must not be called twice.", "May I use getUserProfile?"),
    Planted("The meeting room is on the fourth floor.", "On what floor are we?"),
    Planted("Our landlord is Mr. Okafor.", "What was our landlord called again?"),
    Planted("Ich bin gegen Haselnüsse allergisch.", "Sind da Haselnusse drin?"),
    Planted("Meine Tochter Frieda wird im März sechs.", "Wann hat meine Tochter Geburtstag?"),
    Planted("Wir haben uns für die blaue Tapete entschieden.", "Welche Tapete war es?"),
    Planted("Mon frère habite à Liège depuis 2019.", "Dans quelle ville habite mon frere ?"),
    Planted("Ma voiture est une vieille Renault.", "De quelle marque est ma voiture ?"),
    Planted("Mi contraseña del taller es girasol.", "¿Cuál es la contrasena?"),
    Planted("Il mio medico è la dottoressa Bianchi.", "Chi è il mio medico?"),
    Planted("Моя сестра живёт в Казани.", "Где живет сестра?"),
    Planted("Мы выбрали зелёный логотип.", "Какой логотип мы взяли?"),
    Planted("Kedimin adı Pamuk.", "Kedimin yaşı kaç?"),
    Planted("我对花生过敏。", "这个菜有花生吗？"),
    Planted("我的猫叫咪咪。", "猫叫什么？"),
    Planted("私は京都に住んでいます。", "京都の天気は？"),
    Planted("妹の名前は花子です。", "妹の誕生日はいつ？"),
    Planted("여동생은 부산에 살아요.", "부산은 어때요?"),
    Planted("ผมแพ้ถั่วลิสง", "อาหารนี้มีถั่วลิสงไหม"),
    Planted("मेरी बहन दिल्ली में रहती है।", "दिल्ली का मौसम कैसा है?"),
    Planted("أختي تسكن في القاهرة.", "كيف الطقس في القاهرة؟"),
    Planted("אחותי גרה בחיפה.", "מה מזג האוויר בחיפה?"),
    Planted("Η αδελφή μου μένει στην Πάτρα.", "Πού μένει η αδελφη μου;"),
    Planted("Em gái tôi sống ở Đà Nẵng.", "Thời tiết Đà Nẵng thế nào?"),
    Planted("ｍｙ　ｃｏｄｅ　ｉｓ　ＡＢ－１２", "What is ab-12?"),
)
SMALL_TALK: Final = (
    "Write me a short poem about the {a} and the {b}.",
    "What do you think of {a} in the {b}?",
    "Explain how a {a} differs from a {b}, please.",
    "That was good. Now the same with a {a} instead of a {b}.",
    "Erkläre mir bitte kurz, was ein {a} mit einem {b} zu tun hat.",
    "Raconte-moi une histoire de {a} et de {b}.",
    "Could you make it shorter, and less about {a}? I like the {b}.",
)
THINGS: Final = """
river garden engine mountain lamp window forest bridge piano camera kettle market harbour island tractor
violin library planet comet volcano glacier bakery tunnel castle meadow compass ladder anchor balloon
candle
""".split()  # noqa: SIM905


def main() -> int:
    """Measure and print."""
    options = _options()
    with _migrated() as url:
        asyncio.run(_facts(url, options) if options.facts else _times(url, options))
    return 0


async def _times(url: str, options: argparse.Namespace) -> None:
    begin = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        _fill(connection, options.messages, options.rows)
        sizes = connection.execute(
            "SELECT pg_size_pretty(pg_table_size('message_terms')), pg_size_pretty(pg_relation_size('ix_message_terms_terms'))"
        ).fetchone()
    print(f"{options.rows:,} rows in {time.perf_counter() - begin:.0f} s, table and index: {sizes}")
    database, chance = _open(url), random.Random(7)  # noqa: S311 - no secret
    index, scope = PostgresIndex(database), Scope(USER, CHAT, options.messages)
    try:
        questions: dict[str, Callable[[], list[str]]] = {
            "8 words of content": lambda: [_word(chance, first=COMMON) for _ in range(8)],
            "25 words of content": lambda: [_word(chance, first=COMMON) for _ in range(25)],
            "8 words, common ones too": lambda: [_word(chance) for _ in range(8)],
            "25 words that are common": lambda: [f"w{chance.randrange(1, COMMON)}" for _ in range(25)],
        }
        for name, words in questions.items():
            seconds = []
            for _ in range(options.questions):
                question = " ".join(words())
                begin = time.perf_counter()
                await index.find(scope, question, limit=LIMIT)
                seconds.append(time.perf_counter() - begin)
            _report(name, seconds)
        asked = asked_terms(" ".join(_word(chance, first=COMMON) for _ in range(8)))
        explain = text(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {FIND.text}")
        async with database.connect() as db:
            plan = await db.execute(explain, parameters(scope, asked, LIMIT))
        print("\n".join(line for (line,) in plan))
    finally:
        await database.dispose()


def _report(name: str, seconds: Sequence[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    told = f"p50 {cuts[49] * 1e3:6.2f}  p95 {cuts[94] * 1e3:6.2f}  p99 {cuts[98] * 1e3:6.2f}  most {max(seconds) * 1e3:6.2f}"
    print(f"{name:28} ms: {told}")


def _word(chance: random.Random, first: int = 1) -> str:
    """A word of at least this rank; the word of rank r comes about VOCABULARY / r times as often as the rarest (Zipf)."""
    return f"w{int(first * (VOCABULARY / first) ** chance.random())}"


def _fill(connection: psycopg.Connection[Any], messages: int, rows: int) -> None:
    """A chat of so many messages, and others of 1,000 each up to `rows`, in the order in which they would have come.

    The rows of the long chat lie scattered among the others, as in a deployment that runs for long.
    """
    others = max(1, (rows - messages) // 1_000)
    connection.execute("INSERT INTO users (email, password_hash) VALUES ('bench@example.com', '-')")
    connection.execute(
        "INSERT INTO chats (user_id, last_position, summary_position, indexed_position)"  # noqa: S608 - numbers of ours
        f" SELECT 1, n, n, n FROM (SELECT CASE i WHEN 1 THEN {messages} ELSE 1000 END AS n"
        f" FROM generate_series(1, {others + 1}) AS i) AS sizes"
    )
    connection.execute(
        "INSERT INTO messages (chat_id, role, content, position, status)"  # noqa: S608 - numbers of ours
        " SELECT chat, CASE position % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, 'Nothing much. ' || position, position,"
        f" 'completed' FROM (SELECT 1 AS chat, p AS position, p::float8 / {messages} AS at"
        f" FROM generate_series(1, {messages}) AS p UNION ALL"
        f" SELECT c, p, p / 1000.0 FROM generate_series(2, {others + 1}) AS c, generate_series(1, 1000) AS p) AS said"
        " ORDER BY at, chat"
    )
    connection.execute("CREATE TABLE words (rank int PRIMARY KEY, hash bigint NOT NULL)")
    with connection.cursor().copy("COPY words (rank, hash) FROM STDIN") as copy:
        for rank in range(1, VOCABULARY + 1):
            copy.write_row((rank, term_hash(ChatId(0), f"w{rank}")))
    connection.execute("DROP INDEX ix_message_terms_terms")
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute(
        "INSERT INTO message_terms (message_id, position, by_user, terms)"  # noqa: S608 - numbers of ours
        " SELECT id, position, role = 'user', ARRAY("
        "  SELECT DISTINCT (chat_id << 32) | hash FROM ("
        f"   SELECT floor({VOCABULARY} ^ random())::int AS rank FROM generate_series(1, {WORDS}) WHERE messages.id > 0"
        "  ) AS drawn JOIN words USING (rank)"
        " ) FROM messages"
    )
    connection.execute("CREATE INDEX ix_message_terms_terms ON message_terms USING gin (terms) WITH (fastupdate = off)")
    connection.execute("VACUUM ANALYZE")


async def _facts(url: str, options: argparse.Namespace) -> None:
    """Plant facts in a chat of small talk, and count those that their questions find."""
    chance = random.Random(options.seed)  # noqa: S311 - no secret
    said = [_small_talk(chance) for _ in range(options.talk)]
    places = sorted(chance.sample(range(0, len(said), 2), len(PLANTED)))  # a user's messages, at odd positions
    for place, planted in zip(places, PLANTED, strict=True):
        said[place] = planted.fact
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO users (email, password_hash) VALUES ('bench@example.com', '-')")
        connection.execute(
            "INSERT INTO chats (user_id, last_position, summary_position, summary) VALUES (1, %s, %s, 'They talked.')",
            (len(said), len(said)),
        )
        rows = connection.execute(
            "INSERT INTO messages (chat_id, role, content, position, status)"
            " SELECT 1, CASE n %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END, t, n, 'completed'"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS said (t, n) RETURNING id, position, role, content",
            (said,),
        ).fetchall()
    messages = [IndexedMessage(MessageId(row[0]), *row[1:]) for row in rows]
    database = _open(url)
    index, scope = PostgresIndex(database), Scope(USER, CHAT, len(said))
    ranks: list[int] = []
    try:
        entries = await index.prepare(CHAT, messages)
        async with database.begin() as db:
            await index.add(db, entries)
        for place, planted in zip(places, PLANTED, strict=True):
            positions = [one.position for one in await index.find(scope, planted.question, limit=LIMIT)]
            ranks.append(positions.index(place + 1) + 1 if place + 1 in positions else 0)
    finally:
        await database.dispose()
    missed = [planted.question for rank, planted in zip(ranks, PLANTED, strict=True) if not rank]
    print(
        f"{len(PLANTED)} facts in {len(said)} messages: {len(ranks) - len(missed)} found, {ranks.count(1)} as the best"
    )
    for question in missed:
        print("missed:", question)


def _small_talk(chance: random.Random) -> str:
    first, second = chance.sample(THINGS, 2)
    return chance.choice(SMALL_TALK).format(a=first, b=second)


@contextmanager
def _migrated() -> Iterator[str]:
    """A PostgreSQL of its own, as `cortexai up` sets it up, with the tables."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "pg", durable=False) as server:
        command.upgrade(configuration(to_sqlalchemy(server.url)), "head")
        yield server.url


def _open(url: str) -> Database:
    return open_database(to_sqlalchemy(url), pool_size=1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="how long the chat is")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many messages the table has")
    parser.add_argument("--questions", type=int, default=300, help="how many are timed")
    parser.add_argument("--recall", action="store_true", dest="facts", help="count the facts that are found instead")
    parser.add_argument("--talk", type=int, default=300, help="how many messages the facts are planted in")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
