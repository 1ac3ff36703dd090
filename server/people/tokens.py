"""Opaque tokens: drawn here, shown once, kept as a hash.

A token carries nothing, so nothing can be read from it or forged in it, and deleting the row ends it. SHA-256 without
salt is enough: the token has 256 bits of its own.
"""

import hashlib
import secrets
from typing import Final

TOKEN_BYTES: Final = 32


def draw_token() -> str:
    """43 characters of base64url that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    """What is stored for `token`."""
    return hashlib.sha256(token.encode()).digest()
