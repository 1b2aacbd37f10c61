"""What mails say. ASCII, and nothing that a user or a stranger has typed: nobody can have us mail words of theirs."""

from datetime import UTC
from typing import Final, NamedTuple

from services.worker.mail.port import Mail
from shared.accounts.mails import MailKind


class Words(NamedTuple):
    """A mail's subject and text."""

    subject: str
    text: str


_IGNORE: Final = "If you did not ask for this, you can ignore this mail."
_NOT_YOU: Final = (
    'If this was not you, set a new password at once ("Forgot your password?" where you sign in), and look at the sessions\n'
    "of your account. If you can't sign in any more, ask the people who run this service."
)

_WORDS: Final[dict[MailKind, tuple[str, str]]] = {
    "verify_email": (
        "Confirm your e-mail address",
        f"""Open this link to confirm that this is your e-mail address:

{{link}}

The link works once, for {{lasts}}. {_IGNORE}
""",
    ),
    "reset_password": (
        "Set a new password",
        f"""Somebody, probably you, wants to set a new password for your account. Open this link to do so:

{{link}}

The link works once, for {{lasts}}. {_IGNORE} Your password stays as it is.
""",
    ),
    "invite": (
        "You are invited to CortexAI",
        """You can make an account at CortexAI with this link:

{link}

The link works once, for {lasts}. If you do not want an account, you can ignore this mail.
""",
    ),
    "password_changed": (
        "Your password was changed",
        f"""The password of your account was changed on {{at}}.

{_NOT_YOU}
""",
    ),
    "password_reset": (
        "Your password was set anew",
        f"""A new password was set for your account on {{at}}, by a link that was mailed to this address.
Everybody was signed out.

{_NOT_YOU}
""",
    ),
    "email_changed": (
        "Your e-mail address was changed",
        """Your account has another e-mail address since {at}, and no longer this one.

If this was not you, ask the people who run this service at once: mail to this address resets no password any more.
""",
    ),
    "second_factor_on": (
        "The second factor was switched on",
        f"""Your account asks for a code at each sign-in since {{at}}.

{_NOT_YOU}
""",
    ),
    "second_factor_off": (
        "The second factor was switched off",
        f"""Your account asks for no code at a sign-in since {{at}}.

{_NOT_YOU}
""",
    ),
    "identity_linked": (
        "A way to sign in was added",
        f"""An identity at a provider was linked to your account on {{at}}: whoever signs in there gets into your account.

{_NOT_YOU} Take the identity away, too.
""",
    ),
    "identity_removed": (
        "A way to sign in was removed",
        f"""An identity at a provider was taken away from your account on {{at}}, and no longer gets into your account.

{_NOT_YOU}
""",
    ),
}


def words_of(mail: Mail) -> Words:
    """What a mail says."""
    subject, text = _WORDS[mail.kind]
    at = f"{mail.at.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"
    return Words(f"{subject} - CortexAI", text.format(link=mail.link, lasts=in_words(mail.lasts), at=at))


def in_words(seconds: int) -> str:
    """A time as people say it, not longer than it is: `24 hours`, `7 days`, `30 minutes`."""
    for unit, size in (("day", 86_400), ("hour", 3600)):
        if seconds >= 2 * size or (unit == "hour" and seconds >= size):
            return _count(seconds // size, unit)
    return _count(max(1, seconds // 60), "minute")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
