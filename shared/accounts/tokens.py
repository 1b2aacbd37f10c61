"""What is kept of tokens that open something: cookies, refresh tokens, API keys, links."""

import hashlib


def hash_token(token: str) -> bytes:
    """What is kept of a token. No salt and no slow hash: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).digest()
