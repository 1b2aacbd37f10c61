"""The mails that wait are sent: each at least once, and ordinarily once.

The row is the truth, and a job only wakes a worker. Who tries a mail moves its `due_at` past the end of the try, and is fenced by
the number of the try. A worker that dies between the server's reply and the end of the row leaves a mail that is sent again,
with the same Message-ID and another link; both links are good.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, cast

from sqlalchemy import BigInteger, ColumnElement, Executable, Interval, delete, func, literal, select, update
from sqlalchemy import cast as cast_sql

from services.worker.mail.port import Mail, Mailer
from shared.accounts.links import LinkPurpose, add_link, ends_after, url_of
from shared.accounts.mails import WITH_LINK, MailKind
from shared.accounts.state import MAY_LOG_IN, MAY_SET_PASSWORD
from shared.database.engine import Connection, Database
from shared.database.tables import AccountInvite, AccountLink, AccountMail, User
from shared.errors import MailDeferred, MailRefused
from shared.ids import UserId
from shared.jobs.sender import JobSender
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

AT_ONCE: Final = 16
"""Mails that a process sends at a time, at most. The rest waits for the sweep."""
MAX_RESET_LINKS: Final = 5
"""Links of an account's that set a password. Who has so many needs no other: so no spelling of an address gets more mails."""
FIRST_PAUSE: Final = timedelta(seconds=15)
LONGEST_PAUSE: Final = timedelta(minutes=30)
MAX_ATTEMPTS: Final = 20
"""About seven hours."""
GIVEN_UP_AFTER: Final = timedelta(hours=24)
UNTAKEN_AFTER: Final = timedelta(seconds=5)
AGAIN_AFTER: Final = timedelta(seconds=10)
BATCH: Final = 100
OLD_BATCH: Final = 1000


class Recipient(NamedTuple):
    """Who gets a mail. `user_id` is None for somebody who is invited.

    `expires_at` is then the invite's, and `left` is how long that is from now, in seconds.
    """

    user_id: UserId | None
    address: str
    expires_at: datetime | None = None
    left: int | None = None


class Claim(NamedTuple):
    """A try at a mail: what is sent, and the number of the try."""

    mail: Mail
    attempt: int


class _Row(NamedTuple):
    kind: MailKind
    user_id: UserId | None
    invite_id: int | None
    address: str
    created_at: datetime
    is_old: bool


@dataclass(frozen=True, slots=True)
class Outbox:
    """Sends the mails that wait.

    `public_url` is the page's address; None where nothing is really sent, so that no links are made. `lifetimes` is how long
    links are good. `lease` is how long nobody else tries a mail that somebody tries: longer than a try takes. `max_sending`: how
    many mails are sent at a time.
    """

    database: Database
    mailer: Mailer
    jobs: JobSender
    public_url: str | None
    lifetimes: dict[LinkPurpose, timedelta]
    lease: timedelta
    max_sending: int = AT_ONCE
    _sending: set[int] = field(default_factory=set)

    async def send(self, mail_id: int) -> None:
        """Try to send a mail. Returns at once where somebody else does, or the mail is gone, or too many are being sent."""
        if mail_id in self._sending or len(self._sending) >= self.max_sending:
            return
        self._sending.add(mail_id)
        try:
            async with self.database.begin() as db:
                claim = await self._claim(db, mail_id)
            if claim is not None:
                await self._try(claim)
        finally:
            self._sending.discard(mail_id)

    async def sweep(self) -> None:
        """Send the jobs of mails that are due again, and delete what is over. Any number of sweeps at once is harmless."""
        waiting = (
            select(AccountMail.id)
            .where(AccountMail.due_at < _ago(UNTAKEN_AFTER), AccountMail.queued_at < _ago(AGAIN_AFTER))
            .order_by(AccountMail.due_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        again = (
            update(AccountMail)
            .where(AccountMail.id.in_(waiting))
            .values(queued_at=func.now())
            .returning(AccountMail.id)
        )
        async with self.database.connect() as db:
            for mail_id in await db.scalars(again):
                self.jobs.mail(mail_id)
            await _delete_ended(db)

    async def _claim(self, db: Connection, mail_id: int) -> Claim | None:
        """Take a mail, and make its link. None where there is nothing to do.

        Who gets the mail is locked before the mail: in that order, accounts are changed and deleted.
        """
        row = await _find(db, mail_id)
        if row is None:
            return None
        found = (await db.execute(_recipient_of(row))).one_or_none()
        taken = (
            update(AccountMail)
            .where(AccountMail.id == mail_id, AccountMail.due_at <= func.now())
            .values(attempt=AccountMail.attempt + 1, due_at=ends_after(self.lease))
            .returning(AccountMail.attempt)
        )
        attempt = (await db.execute(taken)).scalar_one_or_none()
        if attempt is None:
            return None
        if found is None or row.is_old or attempt > MAX_ATTEMPTS:
            await db.execute(delete(AccountMail).where(AccountMail.id == mail_id))
            if found is not None:
                log.warning("mail_given_up", kind=row.kind, user_id=found.user_id, attempt=attempt - 1)
            return None
        recipient = Recipient(*found)
        if row.kind == "reset_password" and attempt == 1 and await _has_enough_links(db, recipient):
            await db.execute(delete(AccountMail).where(AccountMail.id == mail_id))
            log.info("mail_not_needed", kind=row.kind, user_id=recipient.user_id)
            return None
        link = await self._make_link(db, row, recipient) if row.kind in WITH_LINK else None
        lasts = recipient.left
        if lasts is None:
            lasts = int(self.lifetimes.get(cast("LinkPurpose", row.kind), timedelta()).total_seconds())
        mail = Mail(mail_id, row.kind, recipient.user_id, recipient.address, link, lasts, row.created_at)
        return Claim(mail, attempt)

    async def _make_link(self, db: Connection, row: _Row, recipient: Recipient) -> str | None:
        if self.public_url is None:
            return None
        purpose = cast("LinkPurpose", row.kind)
        token = await add_link(
            db,
            purpose,
            recipient.expires_at or ends_after(self.lifetimes[purpose]),
            mailed_to=recipient.address,
            user_id=recipient.user_id,
            invite_id=row.invite_id,
        )
        return url_of(self.public_url, purpose, token)

    async def _try(self, claim: Claim) -> None:
        """Send a mail that was claimed, and end its row, or have it tried again. No connection is held meanwhile."""
        mail, attempt = claim
        about = {"kind": mail.kind, "user_id": mail.user_id, "attempt": attempt}
        of_this_try = AccountMail.id == mail.id, AccountMail.attempt == attempt
        try:
            await self.mailer.send(mail)
        except MailDeferred as error:
            pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
            log.warning("mail_deferred", reason=error.reason, reply=error.reply, **about)
            over = update(AccountMail).where(*of_this_try).values(due_at=ends_after(pause))
            async with self.database.connect() as db:
                await db.execute(over)
            return
        except MailRefused as error:
            log.warning("mail_refused", reason=error.reason, reply=error.reply, **about)
        else:
            if self.public_url is not None:
                log.info("mail_sent", **about)
        async with self.database.connect() as db:
            await db.execute(delete(AccountMail).where(*of_this_try))


async def _find(db: Connection, mail_id: int) -> _Row | None:
    too_old = AccountMail.created_at < _ago(GIVEN_UP_AFTER)
    columns = (
        AccountMail.kind,
        AccountMail.user_id,
        AccountMail.invite_id,
        AccountMail.address,
        AccountMail.created_at,
    )
    row = (await db.execute(select(*columns, too_old).where(AccountMail.id == mail_id))).one_or_none()
    return _Row._make(row) if row else None


def _recipient_of(row: _Row) -> Executable:
    """Who gets a mail, locked; no row where nobody does any more. A link goes to the address that the account has.

    The lock waits for whoever changes the account, and makes them wait: they end all links, the one too that is made here.
    """
    nobody = literal(None).label("user_id")
    if row.kind == "invite":
        good = AccountInvite.id == row.invite_id, AccountInvite.expires_at > func.now()
        left = cast_sql(func.extract("epoch", AccountInvite.expires_at - func.now()), BigInteger)
        found = select(nobody, literal(row.address).label("address"), AccountInvite.expires_at, left).where(*good)
        return found.with_for_update(read=True)
    user = select(User.id.label("user_id"), User.email.label("address"))
    if row.kind == "reset_password":  # one by one, since the account's links are counted
        user = user.where(func.lower(User.email) == func.lower(row.address), MAY_LOG_IN, MAY_SET_PASSWORD)
        return user.with_for_update(key_share=True)
    if row.kind == "verify_email":
        unverified = User.email == row.address, User.email_verified_at.is_(None)
        user = user.where(User.id == row.user_id, *unverified, MAY_LOG_IN)
    else:
        user = select(User.id.label("user_id"), literal(row.address).label("address")).where(User.id == row.user_id)
    return user.with_for_update(read=True)


async def _has_enough_links(db: Connection, recipient: Recipient) -> bool:
    good = AccountLink.purpose == "reset_password", AccountLink.expires_at > func.now()
    links = select(func.count()).select_from(AccountLink).where(AccountLink.user_id == recipient.user_id, *good)
    return (await db.execute(links)).scalar_one() >= MAX_RESET_LINKS


async def _delete_ended(db: Connection) -> None:
    """Delete mails that nobody could send, and links and invites that have ended: a bounded number of each."""
    for table, ended in (
        (AccountMail, AccountMail.created_at < _ago(GIVEN_UP_AFTER)),
        (AccountLink, AccountLink.expires_at < func.now()),
        (AccountInvite, AccountInvite.expires_at < func.now()),
    ):
        old = select(table.id).where(ended).limit(OLD_BATCH).with_for_update(skip_locked=True)
        deleted = (await db.execute(delete(table).where(table.id.in_(old)))).rowcount
        if deleted:
            log.info("ended_rows_deleted", table=table.__tablename__, rows=deleted)


def _ago(time: timedelta) -> ColumnElement[datetime]:
    return func.now() - cast_sql(literal(time), Interval)
