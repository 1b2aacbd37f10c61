"""Making an account, as far as SIGNUP_MODE allows."""

from services.api.accounts.queries import AccountRow, add_user
from services.api.accounts.schemas import Signup
from services.api.resources import Resources
from shared.accounts import invites
from shared.accounts.mails import add_mail, drop_mail
from shared.database.engine import Connection
from shared.errors import InviteInvalid, InviteRequired, SignupClosed, TooManyMails


async def insist_on_invite(resources: Resources, body: Signup) -> None:
    """Refuse who may not make an account, before any work is done for them.

    Raises:
        SignupClosed, InviteRequired: nobody may, or not without an invite.
        InviteInvalid: the invite is no good for this address. An invite is looked at wherever one is given.

    """
    insist_on_open_signup(resources, body.invite)
    if body.invite is not None:
        async with resources.database.connect() as db:
            if not await invites.is_good(db, body.invite, body.email):
                raise InviteInvalid


async def make_account(db: Connection, body: Signup, password_hash: str) -> tuple[AccountRow, int | None]:
    """Make an account. Needs a transaction. Returns the account, and the mail that verifies its address.

    No mail is needed for who has come by a link that was mailed to this address.

    Raises:
        InviteInvalid: somebody has used the invite a moment ago.
        EmailTaken: an account has this address already. The invite stays.

    """
    is_verified = False
    if body.invite is not None:
        used = await invites.use_invite(db, body.invite, body.email)
        if used is None:
            raise InviteInvalid
        is_verified = used.proves_address
    row = await add_user(db, body.email, password_hash, is_verified=is_verified)
    return row, None if is_verified else await add_mail(db, "verify_email", row.email, user_id=row.id)


async def send_or_drop(resources: Resources, mail_id: int, email: str, network: str) -> None:
    """Have the mail of a new account sent, if it is not one too many of those that are asked for.

    The account is there in any case, so only now is the mail counted: who is refused uses up nobody's count. An account can be
    made, deleted and made again, and the address be a stranger's.
    """
    try:
        await resources.mail_limit.take(network, email)
    except TooManyMails:
        async with resources.database.connect() as db:
            await drop_mail(db, mail_id)
    else:
        resources.jobs.mail(mail_id)


def insist_on_open_signup(resources: Resources, invite: str | None = None) -> None:
    """Refuse who may not make an account by SIGNUP_MODE. An invite's token is not looked at yet; None for none.

    Raises:
        SignupClosed, InviteRequired: nobody may, or not without an invite.

    """
    if resources.signup_mode == "closed":
        raise SignupClosed
    if resources.signup_mode == "invite" and invite is None:
        raise InviteRequired
