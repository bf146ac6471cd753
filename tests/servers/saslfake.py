"""Logins with access tokens, as the scripted mail servers see them (imapfake.py, pop3fake.py)."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

GOOGLE_CHALLENGE = {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}
POP3_REFUSAL = b"Authentication failure: unknown user name or bad password."
_XOAUTH2 = re.compile(r"user=([^\x01]+)\x01auth=Bearer ([^\x01]+)\x01\x01")
_OAUTHBEARER = re.compile(r"n,a=([^,]+),\x01host=([^\x01]+)\x01port=(\d+)\x01auth=Bearer ([^\x01]+)\x01\x01")


@dataclass
class Tokens:
    """Which tokens open which mailboxes, and how others are refused; may be changed while the server runs.

    Attributes:
        good: Mailbox by token.
        challenge: What is told of a token before it is refused; nothing at Microsoft.
        refusal: The refusal itself.
        shown: Mailbox and token of each attempt.
    """

    good: dict[str, str] = field(default_factory=dict)
    challenge: Mapping[str, str] = field(default_factory=dict)
    refusal: bytes = b"AUTHENTICATE failed."
    shown: list[tuple[str, str]] = field(default_factory=list)

    def opens(self, mechanism: str, message: str) -> bool:
        """Reads what a client shows; whether it opens the mailbox that it names."""
        text = base64.b64decode(message, validate=True).decode()
        if mechanism == "XOAUTH2":
            match = _XOAUTH2.fullmatch(text)
            assert match, "not in the form of XOAUTH2"
            user, token = match[1], match[2]
        else:
            match = _OAUTHBEARER.fullmatch(text)
            assert match, "not in the form of OAUTHBEARER"
            user, token = match[1].replace("=2C", ",").replace("=3D", "="), match[4]
        self.shown.append((user, token))
        return self.good.get(token) == user

    def challenged(self) -> bytes:
        """The challenge as it travels."""
        return base64.b64encode(json.dumps(self.challenge).encode())

    @staticmethod
    def check_answer(mechanism: str, line: bytes) -> None:
        """What a client must say to a challenge."""
        assert line.rstrip(b"\r\n") == (b"" if mechanism == "XOAUTH2" else b"AQ=="), "wrong answer to a challenge"
