"""Texts of servers for people (pure). Whoever was shown a credential may repeat it in its answer, in whatever form."""

import re

_LIKE_A_TOKEN = re.compile(r"[A-Za-z0-9+/_=.~%\\!*$-]{50,}")


def without_credentials(text: str) -> str:
    """Replaces what may be a token, or the Base64 of one. To be done before a text is cut."""
    return _LIKE_A_TOKEN.sub("…", text)
