"""Where Google and Microsoft are: hosts, authorities and scopes, by cloud. Data only; the plugin reads it too.

Sources: learn.microsoft.com "Authenticate an IMAP, POP or SMTP connection using OAuth" and "National clouds";
developers.google.com/workspace/gmail/imap/xoauth2-protocol. The vendor publishes no list of mail hosts of the national
clouds; `spec.server.host` overrides them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """One of Microsoft's clouds. A token of one is worth nothing in another.

    Attributes:
        mail: Host for IMAP (993) and POP3 (995).
        authority: Host that gives tokens.
        resource: Resource of delegated scopes for IMAP and POP3, with a slash at its end.
        app_resource: The same for the flow Application.
        graph: Host of Microsoft Graph.
    """

    mail: str
    authority: str
    resource: str
    app_resource: str
    graph: str


CLOUDS: Mapping[str, Cloud] = {
    "Global": Cloud(
        mail="outlook.office365.com",
        authority="login.microsoftonline.com",
        resource="https://outlook.office.com/",
        app_resource="https://outlook.office365.com/",
        graph="graph.microsoft.com",
    ),
    "USGovernment": Cloud(
        mail="outlook.office365.us",
        authority="login.microsoftonline.us",
        resource="https://outlook.office365.us/",
        app_resource="https://outlook.office365.us/",
        graph="graph.microsoft.us",
    ),
    "USGovernmentDoD": Cloud(
        mail="outlook-dod.office365.us",
        authority="login.microsoftonline.us",
        resource="https://outlook-dod.office365.us/",
        app_resource="https://outlook-dod.office365.us/",
        graph="dod-graph.microsoft.us",
    ),
    "China": Cloud(
        mail="partner.outlook.cn",
        authority="login.partner.microsoftonline.cn",
        resource="https://partner.outlook.cn/",
        app_resource="https://partner.outlook.cn/",
        graph="microsoftgraph.chinacloudapi.cn",
    ),
}

DEFAULT_TENANT = "common"
"""Tenant of the flow Delegated where the client Secret has no key `tenant-id`: accounts of every organisation, and
personal ones, which `organizations` would refuse."""

GOOGLE_HOSTS: Mapping[str, str] = {"IMAP": "imap.gmail.com", "POP3": "pop.gmail.com"}
GOOGLE_AUTHORIZE = "https://accounts.google.com/o/oauth2/v2/auth"
GOOGLE_TOKEN = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GOOGLE_SCOPE = "https://mail.google.com/"
"""The only scope that opens IMAP and POP3; gmail.readonly and gmail.modify do not."""


def mail_host(auth_type: str, protocol: str, cloud: str = "Global") -> str:
    """The provider's own host for IMAP or POP3; empty where there is none (passwords, Graph)."""
    if auth_type == "GoogleOAuth2":
        return GOOGLE_HOSTS.get(protocol, "")
    if auth_type == "MicrosoftOAuth2" and protocol != "MicrosoftGraph":
        return CLOUDS[cloud].mail
    return ""


def scopes(
    auth_type: str, protocol: str, *, flow: str = "Delegated", cloud: str = "Global", shared: bool = False, writes: bool
) -> tuple[str, ...]:
    """Scopes of the access token, the least that is enough, without offline_access (the library adds it).

    Args:
        auth_type: `GoogleOAuth2` or `MicrosoftOAuth2`.
        protocol: Of the connection. A token is for one resource: one for IMAP is worth nothing at Graph.
        flow: `Delegated` or `Application`; for Microsoft the latter takes whatever the administrator granted.
        cloud: Microsoft's cloud.
        shared: The mailbox is not the account's own.
        writes: Mails are marked, moved or deleted after the download.
    """
    if auth_type == "GoogleOAuth2":
        return (GOOGLE_SCOPE,)
    where = CLOUDS[cloud]
    if protocol == "MicrosoftGraph":
        if flow == "Application":
            return (f"https://{where.graph}/.default",)
        permission = ("Mail.ReadWrite" if writes else "Mail.Read") + (".Shared" if shared else "")
        return (f"https://{where.graph}/{permission}",)
    if flow == "Application":
        return (f"{where.app_resource}.default",)
    return (f"{where.resource}{'IMAP' if protocol == 'IMAP' else 'POP'}.AccessAsUser.All",)
