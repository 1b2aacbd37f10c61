"""Versions in the database: read a chat's tree, make another path the active one, delete the last turn."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from services.api.versions.tree import ROOT, Node, Row, Tree, grow
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, Generation, Message, MessageTerms
from shared.errors import ChatNotFound, GenerationInProgress, MessageNotFound, TurnNotLast
from shared.generations.cancel import DeletedGenerations, delete_generations
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.memory import summaries
from shared.memory.take_over import take_over
from shared.operations.decisions import refuse_before_deletion
from shared.operations.moves import Moved
from shared.states import OPEN

_ROWS: Final = (
    select(Message.id, Message.position, Message.role == "user", Message.replaced, Message.parent_position)
    .where(Message.chat_id == bindparam("chat"))
    .order_by(Message.position)
)
_HAS_REPLACED: Final = select(Message.id).where(Message.chat_id == bindparam("chat"), Message.replaced).limit(1)
_BEFORE: Final = (
    select(Message.id)
    .where(Message.chat_id == bindparam("chat"), Message.position < bindparam("position", type_=BigInteger))
    .order_by(Message.position.desc())
    .limit(1)
)
_JOIN: Final = text("UPDATE messages SET replaced = false WHERE id = ANY(CAST(:ids AS bigint[]))")
_LEAVE: Final = text("""
    UPDATE messages SET replaced = true, parent_position = leaving.parent
    FROM unnest(CAST(:ids AS bigint[]), CAST(:parents AS bigint[])) AS leaving (id, parent)
    WHERE messages.id = leaving.id
""")


class PathChange(NamedTuple):
    """What a change of the active path did: the position of the first message that left or joined, None where none did.

    `is_due`: messages are due to be summarized. `changes_memory`: segments or facts are gone.
    """

    position: int | None = None
    is_due: bool = False
    changes_memory: bool = False


class Place(NamedTuple):
    """Where a message stands: which message it follows, None for a chat's first; and the ids of all versions there.

    The oldest version comes first. The message itself is one of them.
    """

    parent_id: MessageId | None
    versions: tuple[MessageId, ...]


async def lock_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> None:
    """Keep every other message, and every other change of the path, out of a chat until the transaction ends.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    statement = select(Chat.id).where(Chat.id == chat_id, owned_by(user_id)).with_for_update()
    if (await db.execute(statement)).one_or_none() is None:
        raise ChatNotFound


async def read_tree(db: Connection, chat_id: ChatId) -> Tree:
    """The tree of a chat's messages."""
    return grow(Row._make(row) for row in await db.execute(_ROWS, {"chat": chat_id}))


async def find_places(db: Connection, chat_id: ChatId, page: Sequence[tuple[MessageId, int]]) -> dict[MessageId, Place]:
    """The places of some of the chat's messages, which are given by id and position, in the order of their positions.

    Where no message is replaced, which is so in most chats, the page itself says them.
    """
    if not page:
        return {}
    if (await db.execute(_HAS_REPLACED, {"chat": chat_id})).one_or_none() is None:
        before = (await db.execute(_BEFORE, {"chat": chat_id, "position": page[0][1]})).scalar_one_or_none()
        parents = [MessageId(before) if before else None, *(message_id for message_id, _ in page)]
        return {
            message_id: Place(parent, (message_id,)) for (message_id, _), parent in zip(page, parents, strict=False)
        }
    tree = await read_tree(db, chat_id)
    return {
        node.id: Place(tree.nodes[node.parent].id if node.parent else None, tree.versions_of(node))
        for _, position in page
        if (node := tree.nodes.get(position)) is not None
    }


async def insist_on_quiet(db: Connection, *which: ColumnElement[bool]) -> None:
    """Refuse a change while one of these generations is open.

    Raises:
        GenerationInProgress: one is; the first of them is named.

    """
    first = select(Generation.id).where(Generation.status.in_(OPEN), *which).order_by(Generation.user_message_id)
    found = (await db.execute(first.limit(1))).scalar_one_or_none()
    if found is not None:
        raise GenerationInProgress(GenerationId(found))


async def change_path(
    db: Connection, chat_id: ChatId, tree: Tree, path: Collection[int], kept: int, *, asked: int | None = None
) -> PathChange:
    """Make these positions the active path. Needs a transaction that has locked the chat.

    `asked` is the position of a message that is to be answered anew: the memory no longer covers it then.

    What was made of the messages that leave or join the path is forgotten and made anew, as far as it lies behind the
    watermark. A summarizer that is at work begins again. `kept` messages past the watermark are not summarized.
    """
    flipped = tree.flipped(path)
    if not flipped and asked is None:
        return PathChange()
    # What the release before has summarized: whose words its facts are is told by messages that are on the path yet.
    await take_over(db, chat_id)
    leaving = [node for node in flipped if not node.replaced]
    await db.execute(_JOIN, {"ids": [node.id for node in flipped if node.replaced]})
    if leaving:
        await db.execute(_LEAVE, {"ids": [one.id for one in leaving], "parents": [one.parent for one in leaving]})
        await db.execute(delete(MessageTerms).where(_is_one_of(MessageTerms.message_id, leaving)))
    position = flipped[0].position if flipped else None
    first = min(at for at in (position, asked) if at is not None)
    made = await summaries.make_anew(db, chat_id, first, kept)
    return PathChange(position, made.is_due, made.has_lost) if made else PathChange(position)


async def choose_version(
    db: Connection, user_id: UserId, chat_id: ChatId, message_id: MessageId, kept: int
) -> PathChange:
    """Make the path through this message, and on to the newest leaf behind it, the active one. Needs a transaction.

    A message on the active path stays there, with all that follows it.

    Raises:
        ChatNotFound: absent, or another user's.
        MessageNotFound: the chat has no such message.
        GenerationInProgress: the chat is generating.

    """
    await lock_chat(db, user_id, chat_id)
    tree = await read_tree(db, chat_id)
    node = _insist_on(tree, message_id)
    if not node.replaced:
        return PathChange()
    await insist_on_quiet(db, Generation.chat_id == chat_id)
    change = await change_path(db, chat_id, tree, tree.path_through(node.position), kept)
    await _touch(db, chat_id)
    return change


class DeletedTurn(NamedTuple):
    """A turn that was deleted: the position of its user's message, and its generations.

    `is_due`: messages of the chat are due to be summarized. `changes_memory`: segments or facts are gone. `takes_title`: so is
    the chat's title. `refused` are operations that the generations had proposed.
    """

    position: int
    generations: DeletedGenerations
    refused: list[Moved]
    is_due: bool
    changes_memory: bool
    takes_title: bool


async def delete_turn(
    db: Connection, user_id: UserId, chat_id: ChatId, message_id: MessageId, kept: int
) -> DeletedTurn:
    """Delete the last turn of the active path: the user's message with all that ever followed it. Needs a transaction.

    `message_id` is the message or its reply. The turn before is the last one then. Other versions of the user's message stay
    replaced.

    Raises:
        ChatNotFound: absent, or another user's.
        MessageNotFound: the chat has no such message.
        TokenInvalid: the account is gone.
        TurnNotLast: the turn is replaced, or another one follows.

    """
    await lock_chat(db, user_id, chat_id)
    tree = await read_tree(db, chat_id)
    question = tree.question_of(_insist_on(tree, message_id))
    if question.replaced or any(node.is_user and node.position > question.position for node in tree.active()):
        raise TurnNotLast
    gone = tree.subtree(question.position)
    await take_over(db, chat_id)  # while the messages are there, as in change_path
    of_turn = _is_one_of(Generation.user_message_id, gone)
    refused = await refuse_before_deletion(db, user_id, of_turn)
    generations = await delete_generations(db, of_turn)
    await db.execute(delete(Message).where(_is_one_of(Message.id, gone)))
    made = await summaries.make_anew(db, chat_id, question.position, kept)
    # The title has words of the chat's first message.
    takes_title = question.parent == ROOT and await remove_title(db, chat_id)
    await _touch(db, chat_id)
    return DeletedTurn(
        question.position, generations, refused, bool(made and made.is_due), bool(made and made.has_lost), takes_title
    )


async def remove_title(db: Connection, chat_id: ChatId) -> bool:
    """Have the chat's title made anew, of the first message that is accepted next; but a title of the user's stays.

    Returns whether there was one to remove.
    """
    by_others = Chat.title_by.is_distinct_from("user")
    nothing = {"title": None, "title_by": None, "title_tries": 0}
    removed = update(Chat).where(Chat.id == chat_id, by_others, Chat.title.is_not(None)).values(nothing)
    return (await db.execute(removed.returning(Chat.id))).one_or_none() is not None


def _insist_on(tree: Tree, message_id: MessageId) -> Node:
    node = tree.find(message_id)
    if node is None:
        raise MessageNotFound
    return node


def _is_one_of(column: Any, nodes: Sequence[Node]) -> ColumnElement[bool]:  # noqa: ANN401 - a column of ids
    ids = bindparam(None, [node.id for node in nodes], type_=ARRAY(BigInteger), unique=True)
    is_one_of: ColumnElement[bool] = column == func.any(ids)
    return is_one_of


async def _touch(db: Connection, chat_id: ChatId) -> None:
    await db.execute(update(Chat).where(Chat.id == chat_id).values(updated_at=func.now()))
