"""What mail servers say of access tokens, decoded for the administrator (pure), for IMAP and POP3 alike.

Sources: learn.microsoft.com "Authenticate an IMAP, POP or SMTP connection using OAuth"; texts that Exchange Online and
Gmail were seen to send.
"""

import re
from collections.abc import Collection
from typing import Protocol

from mailfetch_fetcher.contract import providers
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.sasl import TokenLogin

_NOT_CONNECTED = re.compile(r"authenticated but not connected", re.IGNORECASE)
_NO_RECIPIENT = re.compile(r"NoADRecipient|no such recipient", re.IGNORECASE)
_SWITCHED_OFF = re.compile(r"not enabled for (IMAP|POP)|(IMAP|POP)\w* (access )?is disabled|ProtocolDisabled", re.I)
_WEB_LOGIN = re.compile(r"log ?in (via|with) your web browser|web login required", re.IGNORECASE)


class TokenUser(Protocol):
    """A login with a token, as far as messages need it."""

    @property
    def address(self) -> str:
        """`host:port`."""
        ...

    @property
    def username(self) -> str:
        """The account."""
        ...

    @property
    def mailbox(self) -> str:
        """Whose mail is wanted."""
        ...


def insecure() -> SourceError:
    """A token would travel in the clear."""
    return SourceError(
        "InvalidConfiguration",
        "an access token is never sent without encryption; set spec.server.encryption TLS or StartTLS, or leave out "
        "spec.server for the provider's own host",
        pace=Pace.CONFIGURATION,
    )


def no_mechanism(address: str, offered: Collection[str]) -> SourceError:
    """The server takes no tokens."""
    listed = ", ".join(sorted(offered)) or "nothing"
    return SourceError(
        "AuthFailed",
        f"{address} takes no access tokens (it offers {listed}); correct spec.server.host, or leave out spec.server "
        "for the provider's own host, or use spec.auth.type Password",
        pace=Pace.CONFIGURATION,
    )


def no_shared_login(address: str) -> SourceError:
    """A password, a shared mailbox, and no way to name both."""
    return SourceError(
        "InvalidConfiguration",
        f"{address} does not offer SASL PLAIN, the only way to name the user and spec.sharedMailbox in one login; "
        "leave out spec.sharedMailbox and write the server's own form into spec.auth.username, for example "
        "user*shared or DOMAIN\\user\\shared",
        pace=Pace.CONFIGURATION,
    )


def password_hint(host: str) -> str:
    """What to know of the providers when a password is refused; empty elsewhere."""
    host = host.lower().rstrip(".")
    if host in {cloud.mail for cloud in providers.CLOUDS.values()}:
        return "; Exchange Online takes no passwords any more: use spec.auth.type MicrosoftOAuth2"
    if host in providers.GOOGLE_HOSTS.values():
        return "; Google takes no password of the account: make an app password, or use spec.auth.type GoogleOAuth2"
    return ""


def refused(user: TokenUser, login: TokenLogin, *, protocol: str, text: str, challenge: str = "") -> SourceError:
    """A token was refused, and another one too.

    Args:
        user: Who tried.
        login: How.
        protocol: `IMAP` or `POP`.
        text: What the server wrote.
        challenge: From `sasl.why_refused`.
    """
    said = "; ".join(part for part in (text, challenge) if part) or "no reason given"
    message = f"{user.address} refused the access token of {user.username} for the mailbox {user.mailbox} ({said}); "
    return SourceError("AuthFailed", message + _remedy(user, login, protocol=protocol, text=text), pace=Pace.SLOW)


def not_connected(address: str, mailbox: str, text: str) -> SourceError | None:
    """Exchange Online accepts the token and then opens no mailbox; None if the text says something else."""
    if not _NOT_CONNECTED.search(text):
        return None
    return SourceError(
        "AuthFailed",
        f"{address} accepts the access token but does not open the mailbox {mailbox} ({text}); check, in Exchange "
        f"Online PowerShell, that the account or app may open it (Add-MailboxPermission -Identity {mailbox} -User USER "
        f"-AccessRights FullAccess), that its protocols are on (Set-CASMailbox -Identity {mailbox} -ImapEnabled $true "
        "-PopEnabled $true), and that few programs are connected to it at once",
        pace=Pace.SLOW,
    )


def _remedy(user: TokenUser, login: TokenLogin, *, protocol: str, text: str) -> str:
    if _WEB_LOGIN.search(text):
        return f"sign in once as {user.username} in a web browser and confirm what is asked there"
    if login.provider == "Google":
        return _google(user, login, protocol)
    switch = f"Set-CASMailbox -Identity {user.mailbox} -{'Imap' if protocol == 'IMAP' else 'Pop'}Enabled $true"
    if _SWITCHED_OFF.search(text):
        return f"{protocol} is disabled for this mailbox: {switch}"
    if _NO_RECIPIENT.search(text):
        return f"there is no such mailbox, or {protocol} is disabled for it; correct the address, or: {switch}"
    if login.flow == "Application":
        return (
            f"check that the app has the application permission {protocol}.AccessAsApp with admin consent, that "
            "Exchange Online knows its service principal (New-ServicePrincipal with the object ID of the Enterprise "
            "application, not of the App registration), that it may open the mailbox (Add-MailboxPermission "
            f"-Identity {user.mailbox} -User SERVICE-PRINCIPAL-ID -AccessRights FullAccess), and that {protocol} is on "
            f"({switch})"
        )
    shared = user.mailbox != user.username
    may = f"Add-MailboxPermission -Identity {user.mailbox} -User {user.username} -AccessRights FullAccess"
    who = f"that {user.username} may open it ({may})" if shared else "that spec.auth.username is who authorized"
    return f"check that {protocol} is on for the mailbox ({switch}), and {who}"


def _google(user: TokenUser, login: TokenLogin, protocol: str) -> str:
    if user.mailbox != user.username:
        return "Google has no shared mailboxes: leave out spec.sharedMailbox and name the mailbox in spec.auth.username"
    if login.flow == "Application":
        who = "that domain-wide delegation grants the scope https://mail.google.com/ to the service account"
    else:
        who = f"that {user.username} is the account that authorized"
    return (
        f"check {who}, and that {protocol} is switched on (Gmail: Settings → Forwarding and POP/IMAP; Workspace: "
        "admin.google.com → Apps → Google Workspace → Gmail → End User Access)"
    )
