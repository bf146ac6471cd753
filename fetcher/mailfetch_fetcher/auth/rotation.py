"""Refresh tokens at rest in Redis: sealed with a key made from the one in the mounted Secret (pure).

So neither Redis nor the Secret alone is enough, and what was kept dies with the authorization that it came from: after
`kubectl mailfetch authorize` the Secret holds another token, and the old seal cannot be opened any more.
"""

import os

VERSION = b"\x01"
_NONCE = 12
_KEY = 32


def seal(refresh_token: str, *, mounted: bytes, owner: bytes) -> bytes:
    """Encrypts (AES-256-GCM, key by HKDF-SHA256, random nonce).

    Args:
        refresh_token: What to keep.
        mounted: The token in the Secret.
        owner: Whose it is; it can only be opened for the same.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return VERSION + nonce + AESGCM(_key(mounted)).encrypt(nonce, refresh_token.encode(), VERSION + owner)


def unseal(sealed: bytes, *, mounted: bytes, owner: bytes) -> str:
    """Decrypts; empty if it was sealed with another token, for another owner, or is nothing of ours."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, text = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    if not sealed.startswith(VERSION) or len(nonce) < _NONCE:
        return ""
    try:
        return AESGCM(_key(mounted)).decrypt(nonce, text, VERSION + owner).decode()
    except (InvalidTag, ValueError):  # ValueError: too short for a tag, or not text
        return ""


def _key(mounted: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=b"mailfetch refresh token").derive(mounted)
