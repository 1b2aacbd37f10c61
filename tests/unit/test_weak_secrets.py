"""Secrets that others know or can guess are refused; what a random generator makes never is."""

import secrets
import string
from base64 import b64encode, urlsafe_b64encode

import pytest

from shared.weak_secrets import is_weak

LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    "secret",
    [
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "x09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "413F4428472B4B6250655368566D5970337336763979244226452948404D6351",
        "5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
        "your-256-bit-secret-your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "django-insecure-8k2v9x4m1q7w3e5r6t0y2u4i6o8p",
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef" * 4,
        "0123456789abcdef0123456789abcde",
        "fedcba9876543210fedcba9876543210",
        "abcdefghijklmnopqrstuvwxyzabcdef",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF",
        "zyxwvutsrqponmlkjihgfedcba987654",
        "12345678901234567890123456789012",
        "qwertyuiopasdfghjklzxcvbnm123456",
        "00112233445566778899aabbccddeeff",
        "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
        bytes(range(32)).hex(),
        bytes(range(32, 0, -1)).hex(),
        bytes(range(32)).hex().upper(),
        b64encode(bytes(range(32))).decode(),
        urlsafe_b64encode(bytes(range(200, 232))).decode(),
        bytes(32).hex(),
        "correcthorse" * 3,
        "xK9#mP2$" * 4,
        "a" * 64,
        "ab" * 16,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaabcde",
        b64encode(b"The quick brown fox jumps over the lazy dog").decode(),
        "cortexai-production-signing-key-1",
    ],
)
def test_what_others_know_or_can_guess_is_weak(secret: str) -> None:
    assert is_weak(secret)


def test_what_a_generator_makes_is_not_weak() -> None:
    """20,000 of `openssl rand -hex 32`, and some of other generators. A false alarm is rarer than once in ten million."""
    # Of its own, not seeded: the keys are others in each run.
    weak = [secret for secret in (secrets.token_hex(32) for _ in range(20_000)) if is_weak(secret)]
    for _ in range(1_000):
        some = (
            secrets.token_hex(64),
            secrets.token_hex(16),
            b64encode(secrets.token_bytes(32)).decode(),
            b64encode(secrets.token_bytes(64)).decode(),
            secrets.token_urlsafe(32),
            "".join(secrets.choice(LETTERS) for _ in range(32)),
            "".join(secrets.choice(string.digits) for _ in range(40)),
        )
        weak += [secret for secret in some if is_weak(secret)]
    assert weak == []


@pytest.mark.parametrize(
    "secret", ["0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978", "äöüßéèêàâçñőæøåł", "Tr4n-sient Walrus, 7 of them!"]
)
def test_other_texts_are_left_to_their_length(secret: str) -> None:
    assert not is_weak(secret)
