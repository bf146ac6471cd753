"""What a POP3 server can do (RFC 2449); old ones do not tell, and what they tell changes with TLS and login."""

import re
from dataclasses import dataclass, field

from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The answer to CAPA.

    Attributes:
        told: The server knows CAPA.
        words: Arguments by capability, all in upper case.
    """

    told: bool = False
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.words

    @property
    def mechanisms(self) -> frozenset[str]:
        """SASL mechanisms."""
        return frozenset(self.words.get("SASL", ()))

    @property
    def login_delay(self) -> float:
        """Seconds that the server wants between two logins; 0 if it does not say."""
        seconds = next(iter(self.words.get("LOGIN-DELAY", ())), "")
        return float(seconds) if re.fullmatch(r"\d{1,6}", seconds) else 0.0

    @property
    def expires_at_once(self) -> bool:
        """The server may delete what was downloaded, whatever we ask for (RFC 2449 section 6.7)."""
        return self.words.get("EXPIRE", ())[:1] == ("0",)

    def may(self, name: str) -> bool:
        """The server has the command, or does not tell what it has."""
        return name in self.words or not self.told


def ask_capabilities(wire: Pop3Wire) -> Capabilities:
    """Asks; a server that does not know CAPA is a good one as well."""
    try:
        wire.run(b"CAPA")
    except Refused:
        return Capabilities()
    words: dict[str, tuple[str, ...]] = {}
    for line in wire.lines():
        name, *arguments = line.decode("ascii", "replace").upper().split() or [""]
        if name:
            words[name] = (*words.get(name, ()), *arguments)
    return Capabilities(told=True, words=words)
