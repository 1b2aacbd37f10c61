"""How many streams each user, and each network, reads from this process at the same time.

The counts are of this process alone, so that opening a stream asks nobody. Behind several processes, each has such limits.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.api.networks import network_of
from shared.errors import TooManyStreams
from shared.ids import UserId


class StreamSlots:
    """The streams that are open now: at most `per_user` of one user, and `per_network` of one network."""

    def __init__(self, per_user: int, per_network: int) -> None:
        self._per_user = per_user
        self._per_network = per_network
        self._users = Counter[UserId]()
        self._networks = Counter[str]()

    @contextmanager
    def hold(self, user_id: UserId, address: str | None) -> Iterator[None]:
        """A slot for a stream, as long as the context lasts. `address` is the client's, as `network_of` takes it.

        An address of this host is no network: it is a proxy's that names no client, or a program's of the operator.

        Raises:
            TooManyStreams: the user, or the network, has as many as it may.

        """
        network = _counted(address)
        if self._users[user_id] >= self._per_user:
            raise TooManyStreams
        if network is not None and self._networks[network] >= self._per_network:
            raise TooManyStreams("Your network reads too many streams at the same time; try again when one has ended.")
        self._users[user_id] += 1
        if network is not None:
            self._networks[network] += 1
        try:
            yield
        finally:
            _give_back(self._users, user_id)
            if network is not None:
                _give_back(self._networks, network)


def _counted(address: str | None) -> str | None:
    """The network of an address; None where it is not counted."""
    network = network_of(address)
    return None if network.startswith("127.") or address == "::1" else network


def _give_back(counts: Counter[Any], key: UserId | str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
