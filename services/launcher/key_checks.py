"""What `cortexai doctor` says of the keys that sign tokens. It names them by their ids, which tell nothing of them."""

from collections.abc import Iterator
from typing import Final

from services.launcher.checks import Finding
from shared.key_ids import key_id
from shared.settings import Settings

MINUTE: Final = 60


def signing_keys(settings: Settings, *, is_made_later: bool) -> Iterator[Finding]:
    """One key signs, and no other one verifies for longer than tokens live.

    `is_made_later`: the key of the settings only stands for one that `cortexai up` makes.
    """
    subject = "signing keys"
    if is_made_later:
        yield Finding(subject, "ok", "none is set, so cortexai up signs with one of its own")
    elif settings.jwt_secret_key is not None:
        yield Finding(subject, "ok", f"{key_id(settings.jwt_secret_key.get_secret_value())} signs")
    others = [key_id(key.get_secret_value()) for key in settings.jwt_previous_secret_keys]
    if others:
        seconds = max(settings.access_token_expire_minutes * MINUTE, settings.stream_ticket_seconds)
        minutes = -(-(seconds + settings.clock_leeway_seconds) // MINUTE)
        remedy = (
            f"take out of JWT_PREVIOUS_SECRET_KEYS what signed until {minutes} minutes ago and signs no more; leave in what is "
            "to sign next (docs/operations.md, Rotate the signing key)"
        )
        yield Finding(subject, "note", f"{', '.join(others)} still verify", remedy)
