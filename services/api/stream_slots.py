"""How many streams each user, and each network, reads from this process at the same time.

A user's new stream goes before the oldest one of the user's streams that was opened by GET: that one is cut, without a
terminal frame, so its client resumes. Thus connections whose client has vanished, and which nobody has noticed yet, keep no
client from coming back. A stream that began a moment ago is not cut: else clients that are too many would cut each other
without end.

The counts are of this process alone, so that opening a stream asks nobody. Behind several processes, each has such limits.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.api.networks import network_of
from shared.errors import TooManyStreams
from shared.ids import UserId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams there may be at the same time, and for how many seconds a stream is not cut for a newer one."""

    per_user: int
    per_network: int
    kept_seconds: float = 5


@dataclass(eq=False, slots=True)
class StreamSlot:
    """One of the streams that a user has open. `network` is None where it is not counted.

    `session_id` or `key_id` is that of the credential that opened the stream, None where there is none. From `expires_at` on,
    in seconds since 1970, the credential is void; None where it has no such time. session_watch.py looks at all three.
    `cut` ends the stream at once, without a terminal frame. None while the stream has not begun.
    """

    user_id: UserId
    network: str | None
    is_resumable: bool
    session_id: int | None = None
    key_id: int | None = None
    expires_at: float | None = None
    cut: Callable[[], None] | None = None
    opened_at: float = field(default_factory=time.monotonic)


class StreamSlots:
    """The streams that are open now: at most `per_user` of one user, and `per_network` of one network."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._users: dict[UserId, dict[StreamSlot, None]] = {}  # the oldest first
        self._networks = Counter[str]()

    @contextmanager
    def hold(
        self,
        user_id: UserId,
        address: str | None,
        *,
        is_resumable: bool,
        session_id: int | None = None,
        key_id: int | None = None,
        expires_at: float | None = None,
    ) -> Iterator[StreamSlot]:
        """A slot for a stream, as long as the context lasts. `address` is the client's, as `network_of` takes it.

        An address of this host is no network: it is a proxy's that names no client, or a program's of the operator.
        `is_resumable` tells whether the stream may be cut for a newer one. The other values are the slot's.

        Raises:
            TooManyStreams: the user, or the network, has as many as it may.

        """
        network = _counted(address)
        if network is not None and self._networks[network] >= self._limits.per_network:
            raise TooManyStreams("Your network reads too many streams at the same time; try again when one has ended.")
        if len(self._users.get(user_id, ())) >= self._limits.per_user:
            self._cut_oldest(user_id)
        slot = StreamSlot(user_id, network, is_resumable, session_id, key_id, expires_at)
        self._users.setdefault(user_id, {})[slot] = None
        if network is not None:
            self._networks[network] += 1
        try:
            yield slot
        finally:
            self._give_back(slot)

    def open_slots(self) -> list[StreamSlot]:
        """The slots that are held now."""
        return [slot for slots in self._users.values() for slot in slots]

    def _cut_oldest(self, user_id: UserId) -> None:
        began_before = time.monotonic() - self._limits.kept_seconds
        for slot in self._users[user_id]:
            if slot.is_resumable and slot.cut is not None and slot.opened_at <= began_before:
                log.info("stream_cut_for_newer")
                slot.cut()
                self._give_back(slot)  # now, and not when its task has ended
                return
        raise TooManyStreams

    def _give_back(self, slot: StreamSlot) -> None:
        """Count a slot no more. It may have been given back before."""
        mine = self._users.get(slot.user_id, {})
        if slot not in mine:
            return
        del mine[slot]
        if not mine:
            del self._users[slot.user_id]
        if slot.network is not None:
            self._networks[slot.network] -= 1
            if not self._networks[slot.network]:
                del self._networks[slot.network]


def _counted(address: str | None) -> str | None:
    """The network of an address; None where it is not counted."""
    network = network_of(address)
    return None if network.startswith("127.") or address == "::1" else network
