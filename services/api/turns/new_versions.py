"""Accepting another version: a message of the user's is answered anew, or edited and answered. What it replaces is kept."""

from sqlalchemy.exc import IntegrityError

from services.api.generations.cancellation import end_cancelled
from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.accept import TRIES, tell_accepted
from services.api.turns.idempotency import find_repeated, hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.queries import Bounds
from services.api.turns.turn import Branch, Edit, Key, Regeneration, Turn
from services.api.versions.queries import PathChange, change_path, insist_on_quiet, lock_chat, read_tree, remove_title
from services.api.versions.tree import ROOT, Node, Tree
from shared.database.engine import Connection, Database
from shared.database.tables import Generation
from shared.errors import CortexAIError, MessageNameTaken, MessageNotEditable, MessageNotFound, TooBusy
from shared.generations.cancel import OpenGeneration, cancel
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import generation_status, memory_changed, messages_changed
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics


async def accept_regeneration(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, limits: Limits, new: Regeneration
) -> Turn:
    """Accept another reply to a message of the user's. The replies so far, and all that follows them, become replaced.

    The message may be replaced itself: then its path becomes the active one. Repeats and the stream are as with `accept`.

    Raises:
        MessageNotFound: the chat has no such message.
        CortexAIError: as `accept`.

    """
    check_message("", new.model, limits)
    return await _accept(database, streams, jobs, metrics, limits, new)


async def accept_edit(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, limits: Limits, new: Edit
) -> Turn:
    """Accept another text instead of a message of the user's. The message, and all that follows it, become replaced.

    A chat gets a new title where its first message is edited, unless the user has named it. The rest is as with
    `accept_regeneration`.

    Raises:
        MessageNotFound: the chat has no such message.
        MessageNotEditable: the message is a reply.
        CortexAIError: as `accept`.

    """
    check_message(new.content, new.model, limits)
    return await _accept(database, streams, jobs, metrics, limits, new)


async def accept_branch(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, limits: Limits, new: Branch
) -> Turn:
    """Accept a message that follows a reply. What followed the reply before becomes replaced. The rest is as with `accept_edit`.

    Raises:
        MessageNotFound: the chat has no such reply.
        CortexAIError: as `accept`.

    """
    check_message(new.content, new.model, limits)
    if new.parameters is not None:
        check_parameters(new.parameters, new.model, limits)
    return await _accept(database, streams, jobs, metrics, limits, new)


async def _accept(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    limits: Limits,
    new: Regeneration | Edit | Branch,
) -> Turn:
    key = hashed_key(new)
    for _ in range(TRIES):
        if repeated := await _find_repeated(database, new, key):
            return repeated
        try:
            async with database.begin() as db:
                turn, cancelled, change = await open_version(db, new, key, limits)
        except IntegrityError as error:
            if (violated := queries.violated(error)) not in queries.ACCEPTED_AT_ONCE:
                raise
            if violated == queries.ONE_PER_CLIENT_ID and not await _find_repeated(database, new, key):
                raise MessageNameTaken from error
        except CortexAIError:
            # What is in the way may be the same request, which was accepted a moment ago.
            if repeated := await _find_repeated(database, new, key):
                return repeated
            raise
        else:
            _tell(streams.feed, new, turn, change)
            # The logs are closed before the new generation is sent, as with a message that interrupts.
            await end_cancelled(database, streams, jobs, metrics, cancelled)
            jobs.generate(turn.generation_id)
            if change.is_due:
                jobs.summarize(new.chat_id)
            return turn
    raise TooBusy


def _tell(feed: FeedPublisher, new: Regeneration | Edit | Branch, turn: Turn, change: PathChange) -> None:
    """Tell the user's readers which messages are others now, and of the turn at their end."""
    if not isinstance(new, Branch) or change.position is not None:
        feed.tell(new.user_id, messages_changed(new.chat_id, change.position or turn.position))
    if change.changes_memory:
        feed.tell(new.user_id, memory_changed(new.chat_id))
    if not isinstance(new, Regeneration):
        tell_accepted(feed, new, turn)
        return
    queued = generation_status(new.chat_id, turn.generation_id, turn.assistant_message_id, GenerationStatus.QUEUED)
    feed.tell(new.user_id, queued)


async def _find_repeated(database: Database, new: Regeneration | Edit | Branch, key: Key | None) -> Turn | None:
    if key is None:
        return None
    async with database.connect() as db:
        return await find_repeated(db, new.user_id, key)


async def open_version(
    db: Connection, new: Regeneration | Edit | Branch, key: Key | None, limits: Limits
) -> tuple[Turn, list[OpenGeneration], PathChange]:
    """Change the active path and open the turn at its end. Needs a transaction, which undoes all where this raises.

    `key` is the request's key, hashed. Returns the turn, the generations that were cancelled, and how the path changed.

    Raises:
        IntegrityError: as `open_turn`.
        CortexAIError: as `accept_regeneration` and `accept_edit`.

    """
    await lock_chat(db, new.user_id, new.chat_id)
    in_chat = Generation.chat_id == new.chat_id
    cancelled = list[OpenGeneration]()
    if new.on_conflict == "interrupt":
        cancelled = await cancel(db, in_chat)
    else:
        await insist_on_quiet(db, in_chat)
    tree = await read_tree(db, new.chat_id)
    node, end, asked = _branches_at(tree, new)
    question = tree.question_of(node)
    change = await change_path(db, new.chat_id, tree, tree.path_to(end), limits.kept_messages, asked=asked)
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    if isinstance(new, Regeneration):
        turn = await queries.open_reply(db, new, question, key, bounds)
    else:
        if end == ROOT:
            await remove_title(db, new.chat_id)
        if isinstance(new, Edit):
            await queries.take_client_id(db, question.id, new.client_id)
        turn = await queries.open_turn(db, new, key, bounds)
    if turn is None:
        raise await queries.why_refused(db, new, bounds) or TooBusy
    return turn, cancelled, change


def _branches_at(tree: Tree, new: Regeneration | Edit | Branch) -> tuple[Node, int, int | None]:
    """The message that is named, the position behind which the path goes on anew, and that of a message that is answered anew.

    Raises:
        MessageNotFound: the chat has no such message, or no such reply.
        MessageNotEditable: the message is a reply.

    """
    node = tree.find(new.message_id)
    if node is None or (isinstance(new, Branch) and node.is_user):
        raise MessageNotFound
    if isinstance(new, Edit) and not node.is_user:
        raise MessageNotEditable
    match new:
        case Edit():
            return node, tree.question_of(node).parent, None
        case Branch():
            return node, node.position, None
        case Regeneration():
            position = tree.question_of(node).position
            return node, position, position
