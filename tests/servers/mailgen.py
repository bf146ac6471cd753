"""Realistic synthetic mail, deterministic by (seed, index): the same bytes on every machine.

A mixture as found in business mailboxes: plain and alternative texts, newsletters, mails with attachments, forwarded
mails, bounces, calendars; eight charsets; threads; a few with a missing or doubled Message-ID, with a
missing or garbage Date, with raw 8-bit header bytes. Lines end with CRLF and are at most 998 bytes long.
"""

import base64
import hashlib
import math
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

TEXTS = {
    "us-ascii": "The quick brown fox jumps over the lazy dog and asks about invoice {n}. ",
    "utf-8": "Grüße aus Köln – façade naïve 漢字 emoji 🚀 Rechnung {n}. ",
    "iso-8859-1": "Très cordialement, voilà la facture n° {n} à régler. ",
    "windows-1252": "“Smart quotes” and €{n},00 – total… ",
    "iso-2022-jp": "お世話になっております。請求書{n}を送付します。",
    "koi8-r": "Добрый день, счёт номер {n} прилагается. ",
    "gb18030": "您好，请查收附件中的发票{n}。",
    "shift_jis": "請求書{n}をご確認ください。",
}
SENDERS = ("Anna Müller", "Bob", "山田太郎", "Иван")
FILE_NAMES = ("report.pdf", "Übersicht.xlsx", "見積書.docx", "image001.png", "a" * 120 + ".txt", "..\\..\\evil.exe", "")
FILE_TYPES = ("application/pdf", "application/octet-stream", "image/png")
FIRST_DATE = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How large the mails are: the medians of three kinds of mail (bytes), and the cap."""

    text: int
    newsletter: int
    attachment: int
    cap: int


SMALL = Profile(text=1_200, newsletter=2_500, attachment=6_000, cap=40_000)
"""About 2 KB each: for tests that need many mails."""
REALISTIC = Profile(text=12_000, newsletter=60_000, attachment=400_000, cap=25_000_000)
"""p50 35 KB, p90 240 KB, p99 6 MB: for demos and benchmarks."""


def mails(count: int, *, seed: int = 1, start: int = 0, profile: Profile = SMALL) -> Iterator[bytes]:
    """`count` mails from index `start` on."""
    return (make_mail(index, seed=seed, profile=profile) for index in range(start, start + count))


def make_mail(index: int, *, seed: int = 1, profile: Profile = SMALL) -> bytes:
    """One mail."""
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    rng = random.Random(int.from_bytes(digest[:8], "big"))
    charset = rng.choice(tuple(TEXTS))
    kind, budget = _kind_and_size(rng, profile)
    if kind == "attachment":
        body = _with_attachments(rng, charset, budget, index=index, seed=seed)
    elif kind == "newsletter":
        body = _newsletter(rng, charset, budget)
    else:
        body = _text_mail(rng, charset, budget, index=index)
    return _headers(rng, charset, index=index, seed=seed) + body


def large_mail(size: int, *, seed: int = 1) -> bytes:
    """A mail of exactly `size` bytes with a Message-ID, mostly one attachment."""
    head = (
        f"From: big@sender.test\r\nTo: user@mail.test\r\nSubject: {size} bytes\r\n"
        f"Message-ID: <big.{seed}.{size}@gen.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    line = base64.b64encode(random.Random(seed).randbytes(57)) + b"\r\n"
    return (head + line * (size // len(line) + 1))[: size - 2] + b"\r\n"


def _kind_and_size(rng: random.Random, profile: Profile) -> tuple[str, int]:
    draw = rng.random()
    if draw < 0.45:
        kind, median, sigma = "text", profile.text, 0.9
    elif draw < 0.85:
        kind, median, sigma = "newsletter", profile.newsletter, 0.7
    else:
        kind, median, sigma = "attachment", profile.attachment, 1.7
    size = int(median * math.exp(sigma * rng.gauss(0, 1)))
    return kind, max(min(size, profile.cap) - 900, 100)


def _headers(rng: random.Random, charset: str, *, index: int, seed: int) -> bytes:
    sent = FIRST_DATE + timedelta(seconds=37 * index)
    date = sent.strftime("%a, %d %b %Y %H:%M:%S ") + rng.choice(("+0000", "+0200", "-0500", "+0530"))
    sender = f"{_encoded(rng.choice(SENDERS), 'utf-8')} <s{rng.randrange(500)}@sender.test>"
    subject = _encoded(TEXTS[charset].format(n=index)[:40].strip(), charset)
    lines = [
        f"Received: from mx{rng.randrange(9)}.sender.test\r\n"
        f"\tby mail.test with ESMTPS id {rng.getrandbits(64):016x}\r\n\tfor <user@mail.test>; {date}",
        f"From: {sender}",
        "To: user@mail.test",
        f"Subject: {subject}",
    ]
    if (draw := rng.random()) > 0.01:
        lines.append("Date: " + (date if draw > 0.02 else "yesterday at noon"))
    if rng.random() > 0.01:
        doubled = index > 10 and rng.random() < 0.005
        lines.append(f"Message-ID: <{seed}.{index - 10 if doubled else index}@gen.test>")
    if index % 5:
        lines.append(f"In-Reply-To: <{seed}.{index - index % 5}@gen.test>")
    if rng.random() < 0.1:
        lines += ["List-Id: <list.sender.test>", "Precedence: bulk"]
    raw = "\r\n".join([*lines, f"X-Gen: {seed}/{index}", "MIME-Version: 1.0", ""]).encode()
    return raw + (b"X-Raw: \xe9\xe8\xfc\r\n" if rng.random() < 0.01 else b"")


def _encoded(text: str, charset: str) -> str:
    """RFC 2047 encoded words if the text is not ASCII."""
    if text.isascii():
        return text
    chunks = (text[k : k + 12].encode(charset, "replace") for k in range(0, len(text), 12))
    return " ".join(f"=?{charset}?B?{base64.b64encode(chunk).decode()}?=" for chunk in chunks)


def _text_mail(rng: random.Random, charset: str, budget: int, *, index: int) -> bytes:
    draw = rng.random()
    if draw < 0.03:
        status = b"Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; x@y.test\r\nAction: failed\r\n"
        parts = [
            _text_part(rng, "plain", 500, "us-ascii"),
            _part("message/delivery-status", "7bit", status),
            _part("text/rfc822-headers", "7bit", b"Subject: lost\r\n"),
        ]
        return _multipart(rng, "report", parts, "; report-type=delivery-status")
    if draw < 0.06:
        calendar = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nUID:{index}@gen.test\r\nEND:VCALENDAR\r\n"
        parts = [
            _text_part(rng, "plain", budget, charset),
            _part("text/calendar; method=REQUEST", "7bit", calendar.encode()),
        ]
        return _multipart(rng, "mixed", parts)
    return _text_part(rng, "plain", budget, charset)


def _newsletter(rng: random.Random, charset: str, budget: int) -> bytes:
    texts = [_text_part(rng, "plain", budget // 5, charset), _text_part(rng, "html", budget * 3 // 4, charset)]
    alternative = _multipart(rng, "alternative", texts)
    if rng.random() > 0.3:
        return alternative
    image = _part("image/png", "base64", _base64(rng.randbytes(100)), "Content-ID: <img1>\r\n")
    return _multipart(rng, "related", [alternative, image], '; type="multipart/alternative"')


def _with_attachments(rng: random.Random, charset: str, budget: int, *, index: int, seed: int) -> bytes:
    count = rng.choice((1, 1, 1, 2, 3))
    parts = [_text_part(rng, "plain", min(8_000, budget // 10), charset)]
    parts += [_attachment(rng, budget // count) for _ in range(count)]
    if rng.random() < 0.08:
        forwarded = make_mail(index + 1_000_000_000, seed=seed, profile=SMALL)
        parts.append(_part("message/rfc822", "8bit", forwarded))
    return _multipart(rng, "mixed", parts)


def _attachment(rng: random.Random, budget: int) -> bytes:
    name = rng.choice(FILE_NAMES)
    if name.isascii():
        disposition = f'attachment; filename="{name}"'
    elif rng.random() < 0.5:
        disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    else:
        disposition = f'attachment; filename="{_encoded(name, "utf-8")}"'
    content = _base64(rng.randbytes(max(1, budget * 73 // 100)))
    return _part(rng.choice(FILE_TYPES), "base64", content, f"Content-Disposition: {disposition}\r\n")


def _text_part(rng: random.Random, subtype: str, budget: int, charset: str) -> bytes:
    lines, size = [], 0
    while size < budget:
        line = TEXTS[charset].format(n=rng.randrange(1_000_000))
        # Lines that careless transport damages: a leading dot, a leading "From ".
        prefix = rng.choices(("", ".", "From ", "> "), (0.885, 0.01, 0.005, 0.1))[0]
        lines.append(prefix + line)
        size += len(line.encode(charset, "replace")) + 2
    if subtype == "html":
        lines = ["<html><body>", *(line + "<br>" for line in lines), "</body></html>"]
    raw = ("\r\n".join(lines) + "\r\n").encode(charset, "replace")
    content_type = f"text/{subtype}; charset={charset}"
    encoding = "7bit" if charset in ("us-ascii", "iso-2022-jp") else rng.choice(("base64", "quoted-printable", "8bit"))
    if encoding == "base64":
        raw = _base64(raw)
    elif encoding == "quoted-printable":
        raw = quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return _part(content_type, encoding, raw)


def _part(content_type: str, encoding: str, body: bytes, extra: str = "") -> bytes:
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n{extra}\r\n"
    return head.encode() + body


def _multipart(rng: random.Random, subtype: str, parts: list[bytes], extra: str = "") -> bytes:
    boundary = f"=_{rng.getrandbits(64):016x}"
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{extra}\r\n\r\n'.encode()
    limit = f"--{boundary}".encode()
    return head + b"".join(limit + b"\r\n" + part + b"\r\n" for part in parts) + limit + b"--\r\n"


def _base64(raw: bytes) -> bytes:
    text = base64.b64encode(raw)
    return b"".join(text[k : k + 76] + b"\r\n" for k in range(0, len(text), 76))
