"""The token Secret: its object, and whether it may be replaced. Pure.

A Secret that somebody else made (git, a secrets operator) keeps its labels and owners: only its key is set, and only
if the person says so. Ours belongs to the connections that use it, so that it goes with the last of them.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_mailfetch.authorize.plan import Plan
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import plain

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "kubectl-mailfetch"
Secret = dict[str, Any]


def secret_texts(secret: Mapping[str, Any]) -> dict[str, str]:
    """The texts in a Secret, `data` and `stringData`; what is not text is left out."""
    found: dict[str, str] = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found | {key: str(value) for key, value in (secret.get("stringData") or {}).items()}


def check_replaceable(
    present: Mapping[str, Any] | None, plan: Plan, *, connection: Mapping[str, Any] | None, overwrite: bool
) -> None:
    """Refuses to replace what somebody else wrote, or what belongs to other connections alone.

    Raises:
        PluginError: the Secret is there, is not ours, and `overwrite` was not asked for.
    """
    if present is None or overwrite:
        return
    others = _other_owners(present, plan, connection)
    if _ours(present) and not others:
        return
    if _ours(present):
        raise PluginError(
            f"the Secret {plan.token_secret} in namespace {plan.namespace} holds the token of {', '.join(others)}."
            " To use one token for all of them (whoever signs in now does so for these connections too):\n"
            f"{plan.again} --overwrite\nElse name another Secret in spec.auth.oauth2.tokenSecretRef.",
            code=Exit.USAGE,
        )
    manager = plain((present["metadata"].get("labels") or {}).get(MANAGED_BY) or "somebody else")
    raise PluginError(
        f"the Secret {plan.token_secret} in namespace {plan.namespace} exists, and {manager} made it, not this command."
        f" To set its key {plan.token_key} all the same (its other keys stay):\n{plan.again} --overwrite\n"
        "Else name another Secret in spec.auth.oauth2.tokenSecretRef.",
        code=Exit.USAGE,
    )


def build_secret(
    token: str, plan: Plan, *, present: Mapping[str, Any] | None, connection: Mapping[str, Any] | None
) -> Secret:
    """The Secret to create, or (where one is there) the merge patch for it.

    Args:
        token: The refresh token.
        plan: Names the Secret and its key.
        present: The Secret that is there.
        connection: The MailConnection in the cluster, if it is saved.
    """
    metadata: dict[str, Any] = {"name": plan.token_secret, "namespace": plan.namespace}
    if present is not None:
        # Two people at once: the second is told instead of overwriting the first.
        metadata["resourceVersion"] = present["metadata"]["resourceVersion"]
    if present is None or _ours(present):
        metadata["labels"] = {MANAGED_BY: OURS, "app.kubernetes.io/part-of": "mailfetch"}
        metadata["ownerReferences"] = _owners(present, connection)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {plan.token_key: base64.b64encode(token.encode()).decode()},
    }


def _other_owners(secret: Mapping[str, Any], plan: Plan, connection: Mapping[str, Any] | None) -> list[str]:
    """Names of the connections that own it, unless this one is among them.

    An owner of this one's name and another uid was this one before it was made anew: it does not count.
    """
    owners = [o for o in secret["metadata"].get("ownerReferences") or [] if o.get("kind") == "MailConnection"]
    uid = ((connection or {}).get("metadata") or {}).get("uid")
    if any(o.get("uid") == uid for o in owners):
        return []
    return [plain(name) for o in owners if (name := o.get("name") or "") != plan.name]


def _ours(secret: Mapping[str, Any]) -> bool:
    return bool((secret["metadata"].get("labels") or {}).get(MANAGED_BY) == OURS)


def _owners(present: Mapping[str, Any] | None, connection: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Those that it has, and the connection."""
    owners = list((present or {}).get("metadata", {}).get("ownerReferences") or [])
    if connection is None or any(o.get("uid") == connection["metadata"]["uid"] for o in owners):
        return owners
    owner = {key: connection[key] for key in ("apiVersion", "kind")}
    return [*owners, owner | {key: connection["metadata"][key] for key in ("name", "uid")}]
