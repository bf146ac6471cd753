"""Real XOAUTH2 and OAUTHBEARER in Dovecot: it asks an authority about each token (RFC 7662).

    tokens = OAuth2(introspection=authority.introspection("outlook.office365.com"))
    with Dovecot(certificates, oauth2=tokens) as dovecot:
        ...

Plain http, as Dovecot trusts no private CA there. Tokens for POP3 are refused at IMAP, and the other way round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SETTINGS = """\
introspection_mode = post
introspection_url = {url}
username_attribute = username
username_format = {compared}
active_attribute = active
active_value = true
scope = {scope}
timeout_msecs = 5000
"""
_PASSDB = """\
protocol {protocol} {{
  passdb {{
    driver = oauth2
    mechanisms = xoauth2 oauthbearer
    args = {file}
  }}
}}
"""
_COMPARED = {"exact": "%Lu", "domain": "%Ld"}


@dataclass(frozen=True, kw_only=True)
class OAuth2:
    """What Dovecot needs.

    Attributes:
        introspection: URL with user and password.
        users: Whose token opens a mailbox: its own user's, or that of anybody of the same domain (shared mailboxes, and
            applications: the double calls them `application@<domain of the tenant>`).
    """

    introspection: str
    users: Literal["exact", "domain"] = "exact"


def write_settings(oauth2: OAuth2 | None, directory: Path) -> Mapping[str, str]:
    """Writes Dovecot's files for it; returns what `dovecot.conf` takes. Without it only passwords are accepted."""
    if oauth2 is None:
        return {"mechanisms": "plain login", "oauth2": "", "passwords": ""}
    passdbs = ""
    for protocol, scope in (("imap", "IMAP"), ("pop3", "POP")):
        file = directory / f"oauth2-{protocol}"
        compared = _COMPARED[oauth2.users]
        file.write_text(_SETTINGS.format(url=oauth2.introspection, compared=compared, scope=scope))
        passdbs += _PASSDB.format(protocol=protocol, file=file)
    return {
        "mechanisms": "plain login xoauth2 oauthbearer",
        "oauth2": passdbs,
        "passwords": "mechanisms = plain login",
    }
