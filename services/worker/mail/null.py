"""No mail server: the log says that a mail would go."""

from services.worker.mail.port import Mail
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class NullMailer:
    """Sends nothing."""

    async def send(self, mail: Mail) -> None:
        """Say which kind of mail would go to which user. Neither its link nor its address."""
        log.info("mail_not_sent", kind=mail.kind, user_id=mail.user_id, reason="mail_is_off")
