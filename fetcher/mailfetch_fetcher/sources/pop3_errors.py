"""What a POP3 server's refusals mean, decoded for the administrator (pure). Nothing here ever shows a password.

The response codes (RFC 2449 section 8, RFC 3206) tell a busy mailbox or a server in trouble from a wrong password;
servers without them are judged by their words.
"""

import re
from collections.abc import Sequence

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.imap_errors import clean, seconds_asked
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.token_errors import password_hint

_BUSY = re.compile(
    r"(mail ?drop|mail ?box|popbox|spool)\b.{0,40}\b(lock|in use|busy)|already (open|locked|logged in)|\bin use\b"
    r"|unable to (get|obtain) (a )?lock|another (pop3? )?session",
    re.IGNORECASE,
)
_LIMITED = re.compile(
    r"too many|rate.?limit|throttl|bandwidth|exceed|quota|too (often|frequent|fast)|maximum number of connections",
    re.IGNORECASE,
)
_LATER = re.compile(r"try (again )?later|temporar(y|ily)|not available now|service unavailable", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+) ?(s|sec|m|min)\b", re.IGNORECASE)


class Refused(Exception):
    """The server answered -ERR.

    Attributes:
        code: Response code in upper case, for example `IN-USE`; empty without one.
        text: What the server wrote, code included.
    """

    def __init__(self, raw: bytes) -> None:
        self.text = clean(raw)
        super().__init__(self.text)
        match = re.match(r"\[([^\]\s]{1,40})\]", self.text)
        self.code = match[1].upper() if match else ""


# ---- the connection ----


def not_pop3(settings: Pop3Settings, line: bytes) -> SourceError:
    """Something else than a POP3 server answers."""
    return SourceError(
        "ConnectionFailed",
        f"{settings.address} does not speak POP3 (it says '{clean(line)[:80]}'); check spec.server.port (995 for TLS, "
        "110 for StartTLS)",
        pace=Pace.CONFIGURATION,
    )


def closed(why: str) -> SourceError:
    """The connection has ended before."""
    return SourceError("ConnectionFailed", why)


def nonsense(address: str, line: bytes) -> SourceError:
    """An answer that cannot be understood: nothing that follows can be trusted."""
    return SourceError(
        "ConnectionFailed",
        f"{address} sent an answer that is not POP3 ('{clean(line)[:80]}'); the connection was closed",
    )


def refused(address: str, doing: str, refusal: Refused, *, login_delay: float = 0.0) -> SourceError:
    """A command that should always work was refused."""
    return busy(address, refusal, login_delay=login_delay) or SourceError(
        "ConnectionFailed", f"{address} refused to {doing}: {refusal.text or 'no reason given'}; it is tried again"
    )


def busy(address: str, refusal: Refused, *, login_delay: float = 0.0) -> SourceError | None:
    """The server cannot, or does not want to, at the moment; None if the refusal says something else.

    Args:
        address: The server.
        refusal: What it said.
        login_delay: Seconds between logins that the server announced (RFC 2449 section 6.5); 0 if it did not.
    """
    text = refusal.text
    if refusal.code == "IN-USE" or (not refusal.code and _BUSY.search(text)):
        return SourceError(
            "ConnectionFailed",
            f"{address}: the mailbox is in use by another POP3 session ({text}); it is tried again soon; if this "
            "stays, end the other mail program, or a second MailConnection to this mailbox",
        )
    if refusal.code == "LOGIN-DELAY":
        message = f"{address} wants more time between two logins ({text}); raise spec.schedule.interval"
        message += f" to at least {login_delay:g}s" if login_delay else ""
        return SourceError("Throttled", message, pace=Pace.SLOW, retry_after=login_delay or None)
    if refusal.code == "SYS/TEMP" or (not refusal.code and _LATER.search(text) and not _LIMITED.search(text)):
        return SourceError(
            "ConnectionFailed", f"{address} has trouble at the moment ({text}); it is tried again", pace=Pace.QUICK
        )
    if refusal.code == "SYS/PERM":
        return SourceError(
            "ConnectionFailed",
            f"{address} cannot open this mailbox ({text}); whoever runs the server must repair it",
            pace=Pace.CONFIGURATION,
        )
    return throttled(address, refusal)


def throttled(address: str, refusal: Refused) -> SourceError | None:
    """The server limits how much or how often we may ask; None if the refusal says something else."""
    if refusal.code == "AUTH" or not _LIMITED.search(refusal.text):
        return None
    seconds = seconds_asked(refusal.text)
    if match := _SECONDS.search(refusal.text):
        seconds = seconds or int(match[1]) * (60.0 if match[2].lower().startswith("m") else 1.0)
    message = f"{address} limits us: {refusal.text}; it is tried again later (a longer spec.schedule.interval helps)"
    return SourceError("Throttled", message, pace=Pace.SLOW, retry_after=seconds)


def incomplete(address: str, told: int, listed: int) -> SourceError:
    """A list that is shorter than it should be: nothing may be concluded from it."""
    return SourceError(
        "ConnectionFailed",
        f"{address} says that the mailbox holds {told} mails but lists only {listed}; it is tried again",
    )


# ---- login ----


def no_password_login(settings: Pop3Settings, mechanisms: Sequence[str]) -> SourceError:
    """The server takes no password here."""
    if settings.encryption == "None":
        return SourceError(
            "InvalidConfiguration",
            f"{settings.address} takes no password without encryption; set spec.server.encryption TLS or StartTLS",
            pace=Pace.CONFIGURATION,
        )
    return SourceError(
        "AuthFailed",
        f"{settings.address} takes no password; it offers {', '.join(mechanisms)}; use spec.auth.type GoogleOAuth2 or "
        "MicrosoftOAuth2 for these providers, or allow passwords at the server",
        pace=Pace.CONFIGURATION,
    )


def bad_credentials(character: str) -> SourceError:
    """User name or password hold what POP3 cannot carry."""
    return SourceError(
        "InvalidConfiguration",
        f"the user name or the password holds a {character}, which POP3 cannot carry; correct the Secret",
        pace=Pace.CONFIGURATION,
    )


def login_refused(settings: Pop3Settings, refusal: Refused, *, password: str, login_delay: float = 0.0) -> SourceError:
    """The server refused user and password, or does not take logins now."""
    text = refusal.text.replace(password, "…") if len(password) > 2 else refusal.text
    shown = Refused(text.encode())
    return busy(settings.address, shown, login_delay=login_delay) or SourceError(
        "AuthFailed",
        f"{settings.address} refused the login of {settings.username}: {text or 'no reason given'}; check "
        f"spec.auth.username and the password in {settings.password_place} (spec.auth.passwordSecretRef); some "
        f"providers want an app password, or POP3 to be switched on for the account{password_hint(settings.host)}",
        pace=Pace.SLOW,
    )
