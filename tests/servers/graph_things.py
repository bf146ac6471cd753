"""Folders and mails of the Graph double."""

import base64
import email
import hashlib
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from typing import Literal

Happening = Literal["created", "updated", "removed", "returned"]
Loss = Literal["gone", "location", "invalid", "missing"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A line of a folder's log. `returned`: moved back into a folder that it had been in before."""

    number: int
    what: Happening
    mail: "Mail"
    moves: int


@dataclass(kw_only=True, eq=False)
class Folder:
    id: str
    name: str
    parent: str
    well_known: str = ""
    called: str = ""
    """How its mails name it, if not by this id: nobody promises that there is one spelling only."""
    hidden: bool = False
    log: list[Change] = field(default_factory=list)
    ever: set[str] = field(default_factory=set)
    """Immutable ids of all mails that were in it."""
    generations: dict[str, int] = field(default_factory=lambda: {"skip": 0, "delta": 0})
    loss: Loss = "gone"
    """How a link of an older generation is refused."""


@dataclass(kw_only=True, eq=False)
class Mail:
    id: str
    raw: bytes
    folder: Folder
    received: str | None
    created: str
    read: bool
    type: str
    moves: int = 0
    version: int = 1

    @property
    def rest_id(self) -> str:
        return rest_id(self.id, self.moves)

    @cached_property
    def header(self) -> Message:
        return email.message_from_bytes(self.raw.partition(b"\r\n\r\n")[0])


def rest_id(immutable: str, moves: int) -> str:
    """The ordinary id of a mail: another one after each move."""
    return "AAMkAGI2" + letters(f"{immutable}/{moves}") + "AAA="


def letters(seed: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(seed.encode()).digest()[:24]).decode()
