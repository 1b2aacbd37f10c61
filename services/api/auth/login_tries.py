"""How many wrong passwords, and codes of second factors, are tried. Source: OWASP authentication; NIST SP 800-63B, section 3.2.2.

Counted a minute are the wrong tries at an account from one network, those from one network at all accounts, and those at one
account from all networks. The last two stop nobody whose account has come in from the network before: so from a network that
the account knows, an owner is kept out by nothing but wrong passwords at this account from there.

An address without an account has the same counts, so that nobody elsewhere learns which accounts exist. Who shares a
network with an owner may learn that the account knows the network, since strangers are refused there where it is not. The
other way, strangers could keep the owner out.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from services.api.auth.known_networks import KnownNetworks
from services.api.auth.local_counts import LocalCounts
from services.api.auth.shared_counts import SharedCounts, TriesInRedis
from shared.errors import TooManyTries

WINDOW: Final = 60
"""Seconds."""
CODE_WINDOW: Final = 3600
"""Seconds. Of a million codes three are right at a time, so that as many tries a minute as at passwords would be too many. Only
who has the password can make them, and so keep an owner out. And no count of codes stops a recovery code.
"""


@dataclass(frozen=True, slots=True)
class TryLimits:
    """Wrong tries in a window: at an account `from_network`, `of_network` at all accounts, `at_account` from new networks.

    0 means no limit.
    """

    from_network: int
    of_network: int
    at_account: int

    def __bool__(self) -> bool:
        return bool(self.from_network or self.of_network or self.at_account)


class LoginTries:
    """Counts wrong tries, and refuses further ones.

    Counts are kept in Redis, for all processes of the deployment. Each process counts too, for the time without Redis.
    `kind` begins the names of the counts: those of codes are apart from those of passwords. `window` is in seconds.
    """

    def __init__(self, tries: TriesInRedis, limits: TryLimits, *, kind: str = "", window: int = WINDOW) -> None:
        self.known = KnownNetworks(tries)
        self._limits = limits
        self._name = tries.name
        self._kind = kind
        self._window = window
        self._local = LocalCounts(window)
        self._shared = SharedCounts(tries)

    async def check(self, account: str, network: str) -> None:
        """Look whether a try may be made. `account` is text that stands for one account, or for an address without one.

        Raises:
            TooManyTries: too many were wrong.

        """
        if not self._limits:
            return
        pair, _, at_account = names = self._names(account, network)
        told = (self._limits.from_network, self._limits.of_network, self._limits.at_account)
        limits = {name: limit for name, limit in zip(names, told, strict=True) if limit}
        found = await self._shared.find(list(limits)) or map(self._local.find, limits)
        counts = dict(zip(limits, found, strict=True))
        over = {name for name, count in counts.items() if count.number >= limits[name]}
        if over - {pair}:
            known = await self.known.knows(account, network)
            if known:
                over &= {pair}
            elif known is None:
                over.discard(at_account)  # which anybody could use up, from anywhere
        if over:
            raise TooManyTries(ceil(max(counts[name].left for name in over)))

    async def note_wrong(self, account: str, network: str) -> None:
        """Count a wrong try."""
        if self._limits:
            names = self._names(account, network)
            for name in names:
                self._local.add(name)
            await self._shared.add(dict.fromkeys(names, self._window))

    async def note_right(self, account: str, network: str) -> None:
        """Forget the wrong tries at this account from this network, and remember that the account came in from there."""
        if self._limits:
            await self.forget_wrong(account, network)
            await self.known.remember(account, network)

    async def forget_wrong(self, account: str, network: str) -> None:
        """Forget the wrong tries at this account from this network.

        The other counts stay: else one account of an attacker's own would clear what he has tried at others.
        """
        if self._limits:
            pair, _, _ = self._names(account, network)
            self._local.clear(pair)
            await self._shared.clear(pair)

    def _names(self, account: str, network: str) -> tuple[str, str, str]:
        """What the three counts are called."""
        return (
            self._name(f"{self._kind}pair", account, network),
            self._name(f"{self._kind}network", network),
            self._name(f"{self._kind}account", account),
        )
