"""What the error codes of Microsoft Entra and the errors of Google mean, and what to change (data only).

Sources: learn.microsoft.com "Microsoft Entra authentication and authorization error codes" (AADSTS; Microsoft warns
that codes may change: whatever is not here falls back to the OAuth2 error of RFC 6749); developers.google.com "Using
OAuth 2.0 to Access Google APIs". In the texts {secret} stands for the client Secret, {tenant} for the tenant, {user}
for spec.auth.username.
"""

from collections.abc import Mapping

from mailfetch_fetcher.contract.reasons import Reason

TRANSIENT = frozenset({50033, 50087, 90006, 90024, 90033})
"""Microsoft's own trouble: the same request succeeds later."""
LOOP = 50196
"""We asked too often with the same request: to slow down."""
LOOP_SECONDS = 300.0

_MFA = "Microsoft asks for another factor (MFA)"
_REVOKED = "the password was changed, or the sign-ins of the account were revoked"
_POLICY = "a Conditional Access policy blocks the sign-in; an administrator must allow this app, account and network"
AUTHORIZE: Mapping[int, str] = {
    50020: "the account does not belong to the tenant {tenant}; check key 'tenant-id' of the Secret '{secret}'",
    50034: "the account does not exist in the tenant {tenant}",
    50055: "the password of the account has expired; it must be changed",
    50057: "the account is disabled; an administrator must enable it",
    50058: "the sign-in has ended",
    50072: _MFA,
    50074: _MFA,
    50076: _MFA,
    50078: "the sign-in with another factor (MFA) is too old",
    50079: f"{_MFA}, which the account has yet to set up",
    50097: "Microsoft asks for a known device",
    50105: "the account is not assigned to the app; an administrator must assign it (Enterprise applications → the "
    "app → "
    "Users and groups)",
    50126: "user name or password were wrong",
    50132: _REVOKED,
    50133: _REVOKED,
    50144: "the password of the account has expired; it must be changed",
    50158: "Microsoft asks for an external check of the sign-in",
    50173: _REVOKED,
    53000: _POLICY,
    53001: _POLICY,
    53002: _POLICY,
    53003: _POLICY,
    53004: f"{_MFA}, which the account has yet to set up",
    54005: "the authorization was used before",
    65001: "nobody consented to the permissions of the app (or the consent was taken back)",
    65004: "the permissions of the app were declined",
    70000: "the refresh token is not valid for this app: it was revoked, or is of another app",
    70008: "the authorization was not used for 90 days",
    70043: "a Conditional Access policy limits how long a sign-in lasts (sign-in frequency); exempt this account or "
    "it will "
    "end again",
    700003: "the device of the sign-in was removed from the tenant",
    700082: "the authorization was not used for 90 days",
    700084: "the authorization was for a single-page app and has ended; register the app as a mobile and desktop app",
}
"""AADSTS codes after which a person has to sign in again: what happened."""

_SECRET = "key 'client-secret' of the Secret '{secret}'"  # noqa: S105 - a place
_FEDERATED = (
    "no federated credential of the app fits the token in key 'federated-token' of the Secret '{secret}'; compare "
    "issuer, "
    "subject and audience (App registrations → the app → Certificates & secrets → Federated credentials)"
)
_CLOUD = "the tenant {tenant} is in another cloud than spec.auth.oauth2.cloud says; correct one of them"
_NO_TENANT = "Microsoft does not know the tenant {tenant}; correct key 'tenant-id' of the Secret '{secret}', or "
_NO_TENANT += "spec.auth.oauth2.cloud if the tenant is in another cloud"
_RESOURCE = (
    "the tenant {tenant} has no Exchange Online (or Microsoft Graph) for this app; check its licences, key "
    "'tenant-id' of "
    "the Secret '{secret}' and spec.auth.oauth2.cloud"
)
CLIENT: Mapping[int, tuple[Reason, str]] = {
    50053: ("AuthFailed", "the account is locked after too many bad sign-ins; wait, or unlock it"),
    50059: ("InvalidConfiguration", "no tenant is named; set key 'tenant-id' of the Secret '{secret}'"),
    50194: (
        "InvalidConfiguration",
        "the app is registered for one tenant only; set key 'tenant-id' of the Secret '{secret}' to that tenant",
    ),
    70011: (
        "InvalidConfiguration",
        "the app may not ask for these permissions; add them (docs/providers/microsoft-365.md)",
    ),
    70021: ("AuthFailed", _FEDERATED),
    90002: ("InvalidConfiguration", _NO_TENANT),
    500011: ("InvalidConfiguration", _RESOURCE),
    500014: ("InvalidConfiguration", _RESOURCE),
    650051: ("InvalidConfiguration", _RESOURCE),
    650052: ("InvalidConfiguration", _RESOURCE),
    700016: (
        "AuthFailed",
        "the tenant {tenant} does not know the app; check the keys 'client-id' and 'tenant-id' of the Secret "
        "'{secret}', "
        "and that an administrator of the tenant consented to the app",
    ),
    700021: ("AuthFailed", _FEDERATED),
    700024: (
        "AuthFailed",
        "the token in key 'federated-token' of the Secret '{secret}' (or the assertion made with the certificate) is "
        "not "
        "valid at this time; renew it, and check the clock of the node",
    ),
    700025: (
        "AuthFailed",
        "the app is a public client, so it must not show a secret; remove the keys 'client-secret' and "
        "'certificate.pem' "
        "from the Secret '{secret}', or register the redirect URI under the platform Web",
    ),
    700027: (
        "AuthFailed",
        "the certificate in key 'certificate.pem' of the Secret '{secret}' is not registered for the app or does not "
        "match "
        "the private key; upload it (App registrations → the app → Certificates & secrets)",
    ),
    700211: ("AuthFailed", _FEDERATED),
    700212: ("AuthFailed", _FEDERATED),
    700213: ("AuthFailed", _FEDERATED),
    900023: ("InvalidConfiguration", _NO_TENANT),
    900432: ("InvalidConfiguration", _CLOUD),
    900438: ("InvalidConfiguration", _CLOUD),
    900439: ("InvalidConfiguration", _CLOUD),
    900440: ("InvalidConfiguration", _CLOUD),
    7000112: ("AuthFailed", "the app is disabled in the tenant {tenant}; an administrator must enable it"),
    7000215: (
        "AuthFailed",
        f"the client secret is wrong; put the secret's value (not its ID) into {_SECRET}",
    ),
    7000216: ("AuthFailed", f"the app needs a client secret or certificate; add {_SECRET}"),
    7000218: (
        "AuthFailed",
        f"the app needs a client secret; add {_SECRET}, or allow public client flows (App registrations → the app → "
        "Authentication)",
    ),
    7000222: ("AuthFailed", f"the client secret has expired; make a new one and put its value into {_SECRET}"),
    7000229: (
        "AuthFailed",
        "the app has no service principal in the tenant {tenant}; an administrator of the tenant must consent to it",
    ),
}
"""AADSTS codes about the app or the tenant: reason, and what to change. Nobody's sign-in can help."""

CONSENT = (
    "no administrator has granted the application permissions of the app; grant them (App registrations → the app → "
    "API "
    "permissions → Grant admin consent)"
)
"""65001 in the flow Application."""

GOOGLE_ENDED = (
    "the authorization ended: it was taken back, the password was changed, it was not used for 6 months, more than 100 "
    "authorizations were made for this account, or the app's consent screen is in Testing mode, where it ends after 7 "
    "days "
    "(publish the app to avoid that)"
)
GOOGLE_SESSION = (
    "the organisation limits how long a sign-in lasts (Google Cloud session control); an administrator can exempt the "
    "app "
    "(admin.google.com → Security → Access and data control → Google Cloud session control)"
)
GOOGLE_CLIENT: Mapping[str, tuple[Reason, str]] = {
    "invalid_client": (
        "AuthFailed",
        "Google does not know the OAuth client, or its secret is wrong; check the keys 'client-id' and "
        "'client-secret' of "
        "the Secret '{secret}'",
    ),
    "deleted_client": ("AuthFailed", "the OAuth client was deleted; make a new one and fill the Secret '{secret}'"),
    "disabled_client": ("AuthFailed", "the OAuth client is disabled; enable it in the Google Cloud console"),
    "unauthorized_client": (
        "AuthFailed",
        "the OAuth client is not allowed to do this; check the keys of the Secret '{secret}', and that the refresh "
        "token "
        "was made with the same client",
    ),
    "org_internal": (
        "AuthFailed",
        "the app is for users of its own organisation only; use an account of that organisation, or make the app "
        "External",
    ),
    "admin_policy_enforced": (
        "AuthFailed",
        "the organisation does not allow this app; an administrator can trust it (admin.google.com → Security → API "
        "controls)",
    ),
    "invalid_scope": ("InvalidConfiguration", "the app may not ask for https://mail.google.com/; enable the Gmail API"),
}
"""Errors of Google about the client."""

GOOGLE_DELEGATION = (
    "domain-wide delegation is not granted to the service account; grant its client ID the scope "
    "https://mail.google.com/ "
    "(admin.google.com → Security → API controls → Domain-wide delegation; it may take up to a day)"
)
GOOGLE_ASSERTION: tuple[tuple[str, Reason, str], ...] = (
    (
        "invalid email or user id",
        "InvalidConfiguration",
        "{user} is no user of the Google Workspace; correct spec.auth.username",
    ),
    (
        "invalid jwt signature",
        "AuthFailed",
        "the key of the service account was deleted; make a new one and put it into key 'service-account.json' of the "
        "Secret '{secret}'",
    ),
    (
        "account not found",
        "AuthFailed",
        "the service account was deleted; make a new one and fill the Secret '{secret}'",
    ),
    ("short-lived token", "ConnectionFailed", "the clock of the node is wrong; correct it"),
    ("account has been deleted", "AuthFailed", "the account {user} was deleted"),
)
"""Of `invalid_grant` in the flow Application: a part of the description in lower case, reason, and what to change."""
