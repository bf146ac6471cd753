"""What went wrong on the way to an IMAP mailbox, decoded for the administrator (pure).

Each function makes the `SourceError` of one kind of failure: what happened, and which field of the spec or what at the
server to change. Nothing here ever shows a password.
"""

import difflib
import re
from collections.abc import Sequence

from mailfetch_fetcher.contract.texts import without_credentials
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.token_errors import not_connected, password_hint

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST = 300
_THROTTLED = re.compile(
    r"\[(?:UNAVAILABLE|LIMIT|INUSE|THROTTLED)\b|too many|rate limit|throttl|bandwidth|exceeded|try again later"
    r"|temporarily|maximum number of connections",
    re.IGNORECASE,
)
_RETRY_AFTER = re.compile(
    r"(?:suggested ?backoff|back ?off|retry|try again|wait)\D{0,40}?(\d+) ?(ms|milli|sec|s\b|min|m\b)?", re.I
)
_BANDWIDTH_SECONDS = 3600.0
"""Gmail locks an account that used up its bandwidth for hours, up to a day, and does not say how long."""
_TIMINGS = re.compile(r"\s*\(\d+\.\d+( \+ \d+\.\d+)+ secs\)\.?$")
"""How long Dovecot took; it would make the same failure look like a new one each time."""


def clean(raw: bytes) -> str:
    """A server's text for people: decoded, without control characters and credentials, bounded."""
    text = without_credentials(_CONTROL.sub(" ", raw.decode("utf-8", "replace"))).strip()
    text = _TIMINGS.sub("", text).rstrip(".")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


# ---- the connection ----


def not_imap(settings: ImapSettings, line: bytes) -> SourceError:
    """Something else than an IMAP server answers."""
    return SourceError(
        "ConnectionFailed",
        f"{settings.address} does not speak IMAP (it says '{clean(line)[:80]}'); check spec.server.port (993 for TLS, "
        "143 for StartTLS)",
        pace=Pace.CONFIGURATION,
    )


def silent(address: str, timeout: float) -> SourceError:
    """No byte for the time of the timeout."""
    return SourceError(
        "ConnectionFailed",
        f"{address} did not answer within {timeout:g} s; if it is only slow, raise spec.schedule.timeout",
    )


def cut(address: str, why: object) -> SourceError:
    """The connection ended."""
    return SourceError("ConnectionFailed", f"the connection to {address} broke: {why}; it is tried again")


def made_anew(address: str) -> SourceError:
    """Other mails have the UIDs now."""
    return cut(address, "the folder was made anew (UIDVALIDITY changed)")


def nonsense(address: str, line: bytes) -> SourceError:
    """An answer that cannot be understood: nothing that follows can be trusted."""
    return SourceError(
        "ConnectionFailed",
        f"{address} sent an answer that is not IMAP ('{clean(line)[:80]}'); the connection was closed",
    )


def endless(address: str) -> SourceError:
    """More than any answer that makes sense."""
    return SourceError(
        "ConnectionFailed", f"{address} answers without end; the connection was closed (it may not be a mail server)"
    )


def bye(address: str, text: str) -> SourceError:
    """The server said goodbye."""
    return throttled(address, text) or SourceError(
        "ConnectionFailed", f"{address} ended the connection: {text or 'it said no reason'}; it is tried again"
    )


# ---- login ----


def no_password_login(settings: ImapSettings, mechanisms: Sequence[str]) -> SourceError:
    """The server takes no password here."""
    offered = ", ".join(mechanisms) or "nothing else"
    if settings.encryption == "None":
        return SourceError(
            "InvalidConfiguration",
            f"{settings.address} takes no password without encryption (LOGINDISABLED); set spec.server.encryption TLS "
            "or StartTLS",
            pace=Pace.CONFIGURATION,
        )
    return SourceError(
        "AuthFailed",
        f"{settings.address} takes no password; it offers {offered}; use spec.auth.type GoogleOAuth2 or "
        "MicrosoftOAuth2 for these providers, or allow passwords at the server",
        pace=Pace.CONFIGURATION,
    )


def bad_credentials(what: str) -> SourceError:
    """User name or password hold what cannot be sent to this server."""
    return SourceError("InvalidConfiguration", what, pace=Pace.CONFIGURATION)


def login_refused(settings: ImapSettings, text: str) -> SourceError:
    """The server refused user and password, or does not take logins now."""
    text = text.replace(settings.password, "…") if len(settings.password) > 2 else text
    return throttled(settings.address, text) or SourceError(
        "AuthFailed",
        f"{settings.address} refused the login of {settings.username}: {text or 'no reason given'}; check "
        f"spec.auth.username and the password in {settings.password_place} (spec.auth.passwordSecretRef); some "
        f"providers want an app password, or IMAP to be switched on for the account{password_hint(settings.host)}",
        pace=Pace.SLOW,
    )


def throttled(address: str, text: str) -> SourceError | None:
    """The server asks for patience; None if the text says something else."""
    if not _THROTTLED.search(text):
        return None
    message = f"{address} limits us: {text}; it is tried again later (fewer connections to this account help)"
    return SourceError("Throttled", message, pace=Pace.SLOW, retry_after=seconds_asked(text))


def farewell(address: str, mailbox: str, text: str) -> SourceError | None:
    """What Exchange Online says in place of any answer before it hangs up; None if the text says something else."""
    if "request is throttled" in text.lower():
        return throttled(address, text)
    return not_connected(address, mailbox, text)


def unavailable(text: str) -> bool:
    """The code of RFC 5530 for a part of the server that is down: said of one mail it may concern only that one."""
    return text.upper().startswith("[UNAVAILABLE]")


def seconds_asked(text: str) -> float | None:
    """For how long a server wants to be left alone, if its text says so."""
    match = _RETRY_AFTER.search(text)
    if match is None:
        return _BANDWIDTH_SECONDS if "bandwidth" in text.lower() else None
    unit = (match[2] or "s").lower()
    return int(match[1]) * (0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("m") else 1.0)


# ---- the folder ----


def no_folder(field: str, name: str, existing: Sequence[str], text: str) -> SourceError:
    """The folder is not there; names the ones most like it.

    Args:
        field: Field of the spec that names it.
        name: The folder.
        existing: All folders of the mailbox.
        text: What the server said.
    """
    alike = difflib.get_close_matches(name.lower(), [n.lower() for n in existing], n=10, cutoff=0.5)
    shown = [n for n in existing if n.lower() in alike][:10] or list(existing)[:10]
    listed = f"; there are: {', '.join(shown)}" if shown else ""
    said = f" ({text})" if text else ""
    return SourceError(
        "FolderNotFound",
        f"the folder '{name}' does not exist or cannot be opened{said}; correct {field}, or make the folder{listed}",
        pace=Pace.CONFIGURATION,
    )


def no_target(settings: ImapSettings, existing: Sequence[str], text: str) -> SourceError:
    """The folder to which mails are moved is not there."""
    if settings.action == "Delete":
        return no_trash(settings)
    return no_folder("spec.afterDownload.folder", settings.target, existing, text)


def no_uid_validity(settings: ImapSettings) -> SourceError:
    """Without UIDVALIDITY no mail can be recognised in the next session."""
    return SourceError(
        "InvalidConfiguration",
        f"{settings.address} does not number the mails of the folder '{settings.folder}' for ever (no UIDVALIDITY), so "
        "a mail cannot be recognised the next time; choose another folder, or use POP3",
        pace=Pace.CONFIGURATION,
    )


def read_only(action: str, folder: str) -> SourceError:
    """The after-download action cannot be carried out."""
    return SourceError(
        "InvalidConfiguration",
        f"the folder '{folder}' is read-only for this user, so spec.afterDownload.action {action} is not possible; "
        "give the user the right to change mails there, or set the action None",
        pace=Pace.CONFIGURATION,
    )


def not_permitted(action: str, folder: str, missing: str) -> SourceError:
    """A right or flag that the action needs is missing."""
    return SourceError(
        "InvalidConfiguration",
        f"spec.afterDownload.action {action} is not possible in the folder '{folder}': {missing}; give the user this "
        "right at the server, or choose another action",
        pace=Pace.CONFIGURATION,
    )


def same_folder(folder: str, target: str) -> SourceError:
    """Moving a mail into the folder it comes from would make it new for ever."""
    return SourceError(
        "InvalidConfiguration",
        f"spec.afterDownload.folder '{target}' is the folder '{folder}' itself; choose another folder",
        pace=Pace.CONFIGURATION,
    )


def no_trash(settings: ImapSettings) -> SourceError:
    """Gmail, and the folder into which Delete moves is hidden."""
    return SourceError(
        "InvalidConfiguration",
        "spec.afterDownload.action Delete moves mails to the Trash of Gmail, which this account does not show over "
        "IMAP; in Gmail's settings, under Labels, tick 'Show in IMAP' for Trash, or use the action Move",
        pace=Pace.CONFIGURATION,
    )


def refused(address: str, doing: str, text: str) -> SourceError:
    """A command that should always work was refused."""
    return throttled(address, text) or SourceError(
        "ConnectionFailed", f"{address} refused to {doing}: {text}; it is tried again"
    )
