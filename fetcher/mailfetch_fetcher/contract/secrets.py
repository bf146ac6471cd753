"""Where the Secrets that a spec names are mounted: one directory, one file per (Secret, key).

The operator makes the projected volume from `references`, the fetcher reads the files. A missing
Secret or key is a missing file (each source is `optional`), never a pod that does not start.
"""

from collections.abc import Iterator

from mailfetch_fetcher.contract.mounts import CLIENT_KEYS
from mailfetch_fetcher.contract.spec import SecretKey, Spec


def file_name(secret: str, key: str) -> str:
    """The file of a Secret's key, relative to the mount: `<secret>/<key>` (a Secret's name has no slash)."""
    return f"{secret}/{key}"


def password(spec: Spec) -> tuple[str, str] | None:
    """(Secret, key) of the password, or None."""
    return _with_default(spec.auth.password_secret_ref, "password")


def certificate_authority(spec: Spec) -> tuple[str, str] | None:
    """(Secret, key) of the private CA, or None."""
    return _with_default(spec.tls.ca_secret_ref if spec.tls else None, "ca.crt")


def token(spec: Spec) -> tuple[str, str] | None:
    """(Secret, key) of the refresh token, or None."""
    return _with_default(spec.auth.oauth2.token_secret_ref if spec.auth.oauth2 else None, "refresh-token")


def references(spec: Spec) -> Iterator[tuple[str, str]]:
    """Every (Secret, key) that the spec may need; keys that are not there are no error."""
    for found in (password(spec), certificate_authority(spec), token(spec)):
        if found:
            yield found
    if spec.auth.oauth2:
        yield from ((spec.auth.oauth2.client_secret_ref.name, key) for key in CLIENT_KEYS)
    for cert in spec.certificates:
        named = {cert.key, cert.password_key} - {""}
        yield from (
            (cert.secret_name, key) for key in sorted(named | {"tls.crt", "tls.key", "keystore.p12", "password"})
        )


def _with_default(ref: SecretKey | None, key: str) -> tuple[str, str] | None:
    return (ref.name, ref.key or key) if ref else None
