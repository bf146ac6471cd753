"""The judge: compares mailbox, stream, ledger and log, and what was on disk when the mail server was touched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from tests.chaos.inboxes import GraphInbox
from tests.chaos.tap import Sent
from tests.servers import checker

if TYPE_CHECKING:
    from tests.chaos.world import World

TOUCHES = {
    "IMAP": r"^UID (STORE|MOVE|COPY|EXPUNGE) |^EXPUNGE",
    "POP3": r"^(?i:DELE|RETR|QUIT|UIDL)",
    "MicrosoftGraph": r"^(?!GET )",
}
"""Requests that a tap records for `touched_early`."""
_MAIL = re.compile(rb"/messages/([^/?]+)")
_SET = re.compile(rb"^UID (?:STORE|MOVE|COPY|EXPUNGE) ([0-9:,]+)")
Moments = Mapping[str, float]
"""sha256 of each mail in the stream → when its entry was on disk."""


@dataclass
class Verdict:
    """What a case came to; all zero is what we want. `notes` are things that are wrong and are none of the three."""

    lost: int = 0
    doubled: int = 0
    early: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.early or self.notes)

    def __str__(self) -> str:
        return f"lost {self.lost}, doubled {self.doubled}, touched early {self.early}" + "".join(
            f"; {note}" for note in self.notes
        )


def check_now(
    originals: Mapping[int, checker.Original], entries: Sequence[checker.Entry], *, touched: set[int]
) -> None:
    """At any moment: nothing doubled, and nothing touched whose mail is not in the stream."""
    verdict = checker.compare_contents(originals, entries)
    assert not verdict.doubled, verdict
    assert not verdict.doubled_ids, verdict
    assert not touched & set(verdict.lost), f"touched, but not in the stream: {touched & set(verdict.lost)}"


def check_end(world: World) -> None:
    """Exactly once, byte for byte; every action done, nothing left over."""
    verdict = verdict_of(world)
    assert verdict.ok, verdict


def verdict_of(world: World, *, touches: Sequence[Sent] = (), moments: Moments | None = None) -> Verdict:
    """Everything that can be compared at the end."""
    entries = world.entries()
    found = checker.compare_contents(world.wanted(), entries)
    verdict = Verdict(lost=len(found.lost), doubled=len(found.doubled) + len(found.doubled_ids))
    verdict.notes += [
        f"{name}: {getattr(found, name)[:5]}" for name in ("unknown", "wrong_claims") if getattr(found, name)
    ]
    verdict.notes += _mailbox(world)
    verdict.notes += _log(world, entries)
    verdict.notes += _ledger(world)
    verdict.notes += world.inbox.complaints()
    if world.pending():
        verdict.notes.append(f"{world.pending()} after-download actions are left over")
    if moments is not None:
        early = touched_early(world, touches, moments)
        verdict.early = len(early)
        verdict.notes += early[:3]
    return verdict


def _mailbox(world: World) -> list[str]:
    """Every action carried out, and nothing else touched."""
    acted = Counter(o.sha256 for uid, o in world.originals.items() if uid not in world.kept)
    kept = Counter(o.sha256 for uid, o in world.originals.items() if uid in world.kept - world.left)
    left = world.inbox.mails()
    contents = Counter(o.sha256 for o in left.values())
    gone = world.action in ("Delete", "Move")
    problems = []
    if contents != (kept if gone else kept + acted):
        problems.append(
            f"the folder holds {len(left)} mails, not {(kept if gone else kept + acted).total()} (or others)"
        )
    if target := {"Move": "Done", "Delete": world.inbox.trash}.get(world.action):
        moved = Counter(o.sha256 for o in world.inbox.mails(target).values())
        if moved != acted:
            problems.append(f"the target holds {moved.total()} mails, not {acted.total()} (or others)")
    if world.action == "MarkSeen" and world.setup.protocol != "POP3":
        unseen = [
            uid for uid, o in left.items() if "\\seen" not in o.flags and o.sha256 in acted and o.sha256 not in kept
        ]
        if unseen:
            problems.append(f"not marked as seen: {unseen[:5]}")
    if world.action == "None" and world.setup.protocol != "POP3":
        there = [o for uid, o in world.originals.items() if uid not in world.left]
        before = sorted((o.sha256, sorted(o.flags - {"\\recent"})) for o in there)
        if before != sorted((o.sha256, sorted(o.flags - {"\\recent"})) for o in left.values()):
            problems.append("flags have changed")
    return problems


def _log(world: World, entries: Sequence[checker.Entry]) -> list[str]:
    """One line for each entry that was stored, one at most for each action that was carried out."""
    stored: Counter[str] = Counter()
    acted: Counter[str] = Counter()
    for _, fields in world.client.xrange(world.queue.removesuffix(":queue") + ":log"):
        entry = fields.get(b"entry", b"").decode()
        if fields.get(b"category") == b"AfterDownload" and fields.get(b"result") == b"Succeeded":
            acted[entry] += 1
        elif fields.get(b"step") == b"stored":
            stored[entry] += 1
    problems = []
    if stored != Counter(entry.entry for entry in entries):
        problems.append(f"the log tells of {stored.total()} stored mails, the stream holds {len(entries)} (or others)")
    if twice := [entry for entry, count in acted.items() if count > 1]:
        problems.append(f"the log tells twice of an action: {twice[:3]}")
    return problems


def _ledger(world: World) -> list[str]:
    """As many words as mails. What left may be forgotten where names come back: on POP3 and Graph."""
    words = sum(world.client.scard(key) for key in world.client.scan_iter(f"{world.keys}:known:*", count=1000))
    most = len(world.originals)  # also those that were there before the baseline, and none twice
    least = most
    if world.setup.protocol != "IMAP":
        least = len(world.kept - world.left) if world.action in ("Delete", "Move") else most - len(world.left)
    return [] if least <= words <= most else [f"the ledger holds {words} words for {most} mails"]


def touched_early(world: World, touches: Sequence[Sent], moments: Moments) -> list[str]:
    """Commands that were forwarded before every mail that they name was on disk."""
    if world.setup.protocol == "POP3":
        return _early_on_pop3(world, touches, moments)
    if world.setup.protocol == "MicrosoftGraph":
        return _early_at_graph(world, touches, moments)
    problems = []
    for sent in touches:
        if (match := _SET.match(sent.about)) is None:
            continue
        named = [(uid, world.originals[uid].sha256) for uid in _uids(match[1]) if uid in world.originals]
        if early := [uid for uid, sha in named if moments.get(sha, float("inf")) > sent.at]:
            problems.append(f"touched before they were on disk: UID {early[:5]} by {sent.about[:60]!r}")
    return problems


def _early_at_graph(world: World, touches: Sequence[Sent], moments: Moments) -> list[str]:
    """Whatever changes something names one mail."""
    assert isinstance(world.inbox, GraphInbox)
    problems = []
    for sent in touches:
        named = _MAIL.search(sent.about)
        number = world.inbox.number(unquote_to_bytes(named[1]).decode()) if named else 0
        if number not in world.originals:
            problems.append(f"changes what is no mail of the folder: {sent.about[:60]!r}")
        elif moments.get(world.originals[number].sha256, float("inf")) > sent.at:
            problems.append(f"touched before it was on disk: {number} by {sent.about[:10]!r}")
    return problems


def _early_on_pop3(world: World, touches: Sequence[Sent], moments: Moments) -> list[str]:
    """DELE and QUIT, by the numbers that UIDL and RETR used on the same connection."""
    names: dict[int, dict[int, float]] = {}
    retrieved: dict[int, set[int]] = {}
    problems = []
    for sent in touches:
        verb, _, rest = sent.about.partition(b" ")
        number = int(rest) if rest.strip().isdigit() else 0
        mine = names.setdefault(sent.connection, {})
        if b"\n" in sent.about[:-1] and verb.upper().startswith(b"UIDL"):  # the answer
            mine |= {n: moments.get(sha, float("inf")) for n, sha in _listed(world, sent.about).items()}
        elif verb.upper() == b"RETR" and number:
            retrieved.setdefault(sent.connection, set()).add(number)
        elif verb.upper() == b"DELE" and mine.get(number, float("inf")) > sent.at:
            problems.append(f"DELE {number} before it was on disk")
        elif verb.upper().startswith(b"QUIT"):
            early = [n for n in retrieved.get(sent.connection, ()) if mine.get(n, float("inf")) > sent.at]
            problems += [f"QUIT before what was retrieved was on disk: {early[:5]}"] if early else []
    return problems


def _listed(world: World, text: bytes) -> dict[int, str]:
    """Number → sha256; Dovecot's UIDL begins with the UID in hexadecimal."""
    found = {}
    for number, uid in re.findall(rb"(?m)^(\d+) ([0-9a-f]{8})[0-9a-f]{8}\r$", text):
        if (original := world.originals.get(int(uid, 16))) is not None:
            found[int(number)] = original.sha256
    return found


def _uids(text: bytes) -> list[int]:
    """Of an IMAP set, in which `*` never stands here."""
    uids: list[int] = []
    for piece in text.split(b","):
        low, _, high = piece.partition(b":")
        uids += range(int(low), int(high or low) + 1)
    return uids
