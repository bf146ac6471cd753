"""The independent judge of "exactly once": compares a mailbox with a stream, byte for byte.

It shares no code with the product: raw IMAP (imaplib) on one side, raw Redis (redis-py) on the other.

    python -m tests.servers.checker --host 127.0.0.1 --port 1143 --plain --user user1@mail.test --password pass1 \
        --redis redis://127.0.0.1:6379/0 --stream 'mail:{helpdesk/support}:queue' --seen
"""

import argparse
import hashlib
import imaplib
import re
import ssl
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

BATCH = 200


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """Where the mails are. `ca` is the file of the test CA; None means no encryption."""

    host: str
    port: int
    user: str
    password: str
    folder: str = "INBOX"
    ca: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Original:
    """A mail as it is in the mailbox."""

    sha256: str
    size: int
    flags: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A mail as it is in the stream; `sha256` and `size` are of the stored bytes, not of what the entry claims."""

    entry: str
    id: str
    uid: int
    connection: str
    sha256: str
    size: int
    claims_hold: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong; all empty is what we want. UIDs, except for `doubled_ids`."""

    mails: int
    entries: int
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    doubled_ids: list[str] = field(default_factory=list)
    wrong_bytes: list[int] = field(default_factory=list)
    wrong_claims: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not any(
            (
                *(self.lost, self.doubled, self.doubled_ids, self.wrong_bytes),
                *(self.wrong_claims, self.unknown, self.unseen),
            )
        )

    def __str__(self) -> str:
        faults = {name: value for name, value in vars(self).items() if isinstance(value, list) and value}
        told = "; ".join(f"{name}: {len(value)} ({str(value[:10])[1:-1]} …)" for name, value in faults.items())
        return f"{self.mails} mails, {self.entries} entries: {told or 'exactly once'}"


def check(mailbox: Mailbox, *, redis_url: str, stream: str, connection: str = "", expect_seen: bool = False) -> Verdict:
    """Reads both sides and compares; nothing is changed (EXAMINE and BODY.PEEK)."""
    entries = read_stream(redis.Redis.from_url(redis_url), stream, connection=connection)
    return compare(read_mailbox(mailbox), entries, expect_seen=expect_seen)


def compare(originals: Mapping[int, Original], entries: Sequence[Entry], *, expect_seen: bool = False) -> Verdict:
    """The verdict. For Delete and Move read the mailbox before the fetcher runs and compare with that."""
    by_uid = Counter(entry.uid for entry in entries)
    by_id = Counter(entry.id for entry in entries)
    return Verdict(
        mails=len(originals),
        entries=len(entries),
        lost=sorted(uid for uid in originals if uid not in by_uid),
        doubled=sorted(uid for uid, count in by_uid.items() if count > 1),
        doubled_ids=sorted(name for name, count in by_id.items() if count > 1),
        wrong_bytes=sorted(
            e.uid
            for e in entries
            if e.uid in originals and (e.sha256, e.size) != (originals[e.uid].sha256, originals[e.uid].size)
        ),
        wrong_claims=sorted(e.uid for e in entries if not e.claims_hold),
        unknown=sorted(uid for uid in by_uid if uid not in originals),
        unseen=sorted(uid for uid, mail in originals.items() if expect_seen and "\\seen" not in mail.flags),
    )


def compare_contents(originals: Mapping[int, Original], entries: Sequence[Entry]) -> Verdict:
    """As `compare`, by contents: for POP3, and for mailboxes whose mails were numbered anew. UIDs are of `originals`.

    Several mails with the same bytes must stand in the stream as often as in the mailbox.
    """
    wanted = Counter(mail.sha256 for mail in originals.values())
    found = Counter(entry.sha256 for entry in entries)
    by_id = Counter(entry.id for entry in entries)
    missing, surplus = wanted - found, found - wanted
    lost: list[int] = []
    for uid, mail in sorted(originals.items()):
        if missing[mail.sha256] > 0:
            missing[mail.sha256] -= 1
            lost.append(uid)
    return Verdict(
        mails=len(originals),
        entries=len(entries),
        lost=lost,
        doubled=sorted(uid for uid, mail in originals.items() if surplus[mail.sha256]),
        doubled_ids=sorted(name for name, count in by_id.items() if count > 1),
        wrong_claims=sorted(e.uid for e in entries if not e.claims_hold),
        unknown=sorted(e.uid for e in entries if e.sha256 not in wanted),
    )


def read_mailbox(mailbox: Mailbox) -> dict[int, Original]:
    """Every mail of the folder by UID."""
    with _login(mailbox) as imap:
        _ok(imap.select(f'"{mailbox.folder}"', readonly=True))
        found = _ok(imap.uid("SEARCH", "ALL"))
        uids = [int(uid) for uid in (found[0] or b"").split()]
        originals: dict[int, Original] = {}
        for start in range(0, len(uids), BATCH):
            chosen = ",".join(map(str, uids[start : start + BATCH]))
            originals.update(_originals(_ok(imap.uid("FETCH", chosen, "(UID FLAGS BODY.PEEK[])"))))
    if missing := [uid for uid in uids if uid not in originals]:
        raise RuntimeError(f"the server did not give out {len(missing)} mails, the first is UID {missing[0]}")
    return originals


def _login(mailbox: Mailbox) -> imaplib.IMAP4:
    imap: imaplib.IMAP4
    if mailbox.ca:
        context = ssl.create_default_context(cafile=str(mailbox.ca))
        imap = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=60)
    else:
        imap = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=60)
    secret = f"\0{mailbox.user}\0{mailbox.password}".encode()
    _ok(imap.authenticate("PLAIN", lambda _: secret))
    return imap


def _originals(answer: Sequence[Any]) -> Iterator[tuple[int, Original]]:
    for k, piece in enumerate(answer):
        if not isinstance(piece, tuple):
            continue
        meta = piece[0] + (answer[k + 1] if isinstance(answer[k + 1], bytes) else b"")
        uid, flags = re.search(rb"UID (\d+)", meta), re.search(rb"FLAGS \(([^)]*)\)", meta)
        if uid is None or flags is None:
            raise RuntimeError(f"FETCH answer without UID or FLAGS: {meta!r}")
        names = frozenset(flags[1].decode().lower().split())
        yield int(uid[1]), Original(sha256=hashlib.sha256(piece[1]).hexdigest(), size=len(piece[1]), flags=names)


def _ok(answer: tuple[str, Any]) -> Any:
    if answer[0] != "OK":
        raise RuntimeError(f"IMAP answered {answer!r}")
    return answer[1]


def read_stream(client: Any, stream: str, *, connection: str = "") -> list[Entry]:
    """Every entry of the stream (or only those of one connection), with its body or blob read and hashed."""
    entries: list[Entry] = []
    start = "-"
    while page := client.xrange(stream, min=start, count=BATCH):
        for key, fields in page:
            if not connection or fields[b"connection"].decode() == connection:
                entries.append(read_entry(client, key.decode(), fields))
        start = "(" + page[-1][0].decode()
    return entries


def read_entry(client: Any, key: str, fields: Mapping[bytes, bytes]) -> Entry:
    """One entry as a client got it, with its body or blob read and hashed."""
    raw = fields[b"raw"] if b"raw" in fields else client.get(fields[b"blob"])
    raw = b"" if raw is None else raw
    sha256 = hashlib.sha256(raw).hexdigest()
    return Entry(
        entry=key,
        id=fields[b"id"].decode(),
        uid=int(fields.get(b"uid") or 0),  # POP3 has none
        connection=fields[b"connection"].decode(),
        sha256=sha256,
        size=len(raw),
        claims_hold=(sha256, len(raw)) == (fields[b"sha256"].decode(), int(fields[b"size"])),
    )


def main() -> int:
    """The command line; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("host", "port", "user", "password", "redis", "stream"):
        parser.add_argument(f"--{name}", required=True, type=int if name == "port" else str)
    parser.add_argument("--folder", default="INBOX", help="name as IMAP writes it (modified UTF-7)")
    parser.add_argument("--connection", default="", help="only the entries of this connection")
    parser.add_argument("--seen", action="store_true", help="every mail must carry \\Seen")
    encryption = parser.add_mutually_exclusive_group(required=True)
    encryption.add_argument("--ca", type=Path, help="TLS, verified with this CA file")
    encryption.add_argument("--plain", action="store_true", help="no encryption")
    args = parser.parse_args()
    mailbox = Mailbox(
        host=args.host, port=args.port, user=args.user, password=args.password, folder=args.folder, ca=args.ca
    )
    verdict = check(
        mailbox, redis_url=args.redis, stream=args.stream, connection=args.connection, expect_seen=args.seen
    )
    sys.stdout.write(f"{verdict}\n")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
