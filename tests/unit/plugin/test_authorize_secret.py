import base64
from typing import Any

import pytest

from kubectl_mailfetch.authorize.secret import build_secret, check_replaceable, secret_texts
from kubectl_mailfetch.errors import Exit, PluginError
from tests.unit.plugin.test_authorize_plan import plan

OURS = {"app.kubernetes.io/managed-by": "kubectl-mailfetch"}
CONNECTION: dict[str, Any] = {
    "apiVersion": "mailfetch.dev/v1alpha1",
    "kind": "MailConnection",
    "metadata": {"name": "support", "uid": "1"},
}


def present(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "token", "resourceVersion": "7", **metadata}}


def test_a_new_secret_belongs_to_its_connection() -> None:
    made = build_secret("täken", plan(), present=None, connection=CONNECTION)
    assert made["metadata"]["namespace"] == "helpdesk"
    assert made["metadata"]["labels"].items() >= OURS.items()
    assert [o["uid"] for o in made["metadata"]["ownerReferences"]] == ["1"]
    assert secret_texts(made) == {"refresh-token": "täken"}


def test_owners_are_added_never_lost_and_never_twice() -> None:
    other = {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "2"}
    mine = {"apiVersion": "mailfetch.dev/v1alpha1", "kind": "MailConnection", "name": "support", "uid": "1"}
    for owners, expected in (([other], [other, mine]), ([mine, other], [mine, other]), ([], [mine])):
        there = present(labels=OURS, ownerReferences=owners)
        assert (
            build_secret("t", plan(), present=there, connection=CONNECTION)["metadata"]["ownerReferences"] == expected
        )
    unsaved = build_secret("t", plan(), present=present(labels=OURS, ownerReferences=[other]), connection=None)
    assert unsaved["metadata"]["ownerReferences"] == [other]


def test_of_a_foreign_secret_only_the_key_is_set() -> None:
    made = build_secret("t", plan(), present=present(labels={"app": "x"}), connection=CONNECTION)
    assert made["metadata"] == {"name": "token", "namespace": "helpdesk", "resourceVersion": "7"}
    assert set(made["data"]) == {"refresh-token"}


def test_foreign_secrets_are_refused_unless_asked_for() -> None:
    foreign = present(labels={"app.kubernetes.io/managed-by": "Helm"})
    with pytest.raises(PluginError, match=r"Helm made it(.|\n)*authorize support -n helpdesk --overwrite") as caught:
        check_replaceable(foreign, plan(), connection=None, overwrite=False)
    assert caught.value.code is Exit.USAGE
    check_replaceable(foreign, plan(), connection=None, overwrite=True)
    check_replaceable(present(labels=OURS), plan(), connection=None, overwrite=False)
    check_replaceable(None, plan(), connection=None, overwrite=False)
    with pytest.raises(PluginError, match="somebody else made it"):
        check_replaceable(present(), plan(), connection=None, overwrite=False)


def owned(name: str, uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "mailfetch.dev/v1alpha1", "kind": "MailConnection", "name": name, "uid": uid}
    return present(labels=OURS, ownerReferences=[{"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "2"}, owner])


@pytest.mark.parametrize("connection", [CONNECTION, None], ids=["saved", "not saved"])
def test_the_token_of_other_connections_is_only_replaced_when_asked_for(connection: dict[str, Any] | None) -> None:
    theirs = owned("ceo", "9")
    with pytest.raises(PluginError, match=r"holds the token of ceo\.(.|\n)*support -n helpdesk --overwrite") as caught:
        check_replaceable(theirs, plan(), connection=connection, overwrite=False)
    assert caught.value.code is Exit.USAGE
    check_replaceable(theirs, plan(), connection=connection, overwrite=True)


@pytest.mark.parametrize("uid", ["1", "that of an earlier one"])
def test_ones_own_token_is_replaced(uid: str) -> None:
    check_replaceable(owned("support", uid), plan(), connection=CONNECTION, overwrite=False)


def test_texts_of_a_secret() -> None:
    data = {"a": base64.b64encode(b"1").decode(), "b": "not base64!", "c": base64.b64encode(b"\xff").decode()}
    assert secret_texts({"data": data, "stringData": {"a": "2", "d": 3}}) == {"a": "2", "d": "3"}
