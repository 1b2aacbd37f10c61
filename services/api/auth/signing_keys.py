"""The keys by which tokens and tickets are signed: one signs, and some others still verify, so that keys can change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jwt

from shared.key_ids import key_id


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret, and the id by which tokens name it."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """`current` signs. `others` verify only: those that signed before, and one that is about to sign."""

    algorithm: str
    current: SigningKey
    others: tuple[SigningKey, ...] = ()

    @classmethod
    def of(cls, secret: str, others: Sequence[str] = (), *, algorithm: str = "HS256") -> Self:
        """The keys of these secrets."""
        current, *rest = (SigningKey(key_id(each), each) for each in (secret, *others))
        return cls(algorithm, current, tuple(rest))

    @property
    def all(self) -> tuple[SigningKey, ...]:
        """The keys by which a token may be signed."""
        return (self.current, *self.others)

    def find(self, told_id: object) -> SigningKey:
        """The key of this id. Where there is none, the current one: to refuse such a token takes as long as any other."""
        return next((key for key in self.all if key.id == told_id), self.current)

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """A token of this type that says this."""
        headers = {"typ": typ, "kid": self.current.id}
        return jwt.encode(dict(claims), self.current.secret, algorithm=self.algorithm, headers=headers)
