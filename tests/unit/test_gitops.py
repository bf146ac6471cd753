"""What Argo CD and Flux make of each state of a connection: the files of examples/gitops, run as these tools do."""

import json
import re
from pathlib import Path
from typing import Any

import cel
import lupa.lua51
import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITOPS = ROOT / "examples/gitops"
READY = re.split(r"^## ", (ROOT / "docs/troubleshooting.md").read_text(), flags=re.MULTILINE)[1]
PASSES = {"Pending", "Purging"}
"""Ready is Unknown, and it passes by itself."""


def reasons() -> list[tuple[str, str]]:
    """(status, reason) of each row about Ready in the documentation, which is tested to be complete."""
    true, _, others = READY.partition("False or Unknown:")
    rows = re.compile(r"^\| `(\w+)`", re.MULTILINE)
    unknown = PASSES | {"FetcherLost"}
    return [("True", r) for r in rows.findall(true)] + [
        ("Unknown" if r in unknown else "False", r) for r in rows.findall(others)
    ]


def connection(status: str, reason: str, *, observed: int = 3) -> dict[str, Any]:
    conditions = [
        {"type": "Active", "status": "True", "reason": "Polling", "message": ""},
        {"type": "Ready", "status": status, "reason": reason, "message": "what to do"},
    ]
    if reason in PASSES:
        conditions.append({"type": "Reconciling", "status": "True", "reason": reason, "message": "what to do"})
    return {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {"name": "support", "generation": 3},
        "status": {"observedGeneration": observed, "conditions": conditions},
    }


def argo(obj: dict[str, Any]) -> dict[str, str]:
    """Argo CD runs the script in Lua 5.1 with the global `obj` and takes the table that it returns."""
    lua = lupa.lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals()["obj"] = lua.table_from(json.loads(json.dumps(obj)), recursive=True)
    health: Any = lua.execute((GITOPS / "argocd/health.lua").read_text())
    return {"status": health["status"], "message": health["message"]}


def flux(obj: dict[str, Any]) -> str:
    """Flux takes the first of the three expressions that holds."""
    (check,) = yaml.safe_load((GITOPS / "flux/kustomization.yaml").read_text())["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == (obj["apiVersion"], obj["kind"])
    for outcome in ("inProgress", "failed", "current"):
        if cel.evaluate(check[outcome], obj):
            return outcome
    return "unknown"


def test_the_reasons_are_there() -> None:
    assert {("True", "Idle"), ("False", "AuthFailed"), ("Unknown", "FetcherLost")} <= set(reasons())


@pytest.mark.parametrize(("status", "reason"), reasons())
def test_each_reason(status: str, reason: str) -> None:
    obj = connection(status, reason)
    if status == "True":
        expected = ("Suspended" if reason == "Suspended" else "Healthy", "current")
    elif reason in PASSES:
        expected = ("Progressing", "inProgress")
    else:
        expected = ("Degraded", "failed")
    health = argo(obj)
    assert (health["status"], flux(obj)) == expected
    assert health["message"] == f"{reason}: what to do"


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 3}, {"conditions": []}])
def test_a_new_connection_is_waited_for(status: dict[str, Any] | None) -> None:
    obj = connection("True", "Idle")
    obj["status"] = status
    if status is None:
        del obj["status"]
        with pytest.raises(RuntimeError):  # for Flux an expression that cannot be evaluated means: wait
            flux(obj)
    else:
        assert flux(obj) != "current"
        assert flux(obj) != "failed"
    assert argo(obj)["status"] == "Progressing"


def test_a_status_of_an_older_spec_is_no_word_about_the_new_one() -> None:
    for status, reason in (("True", "Idle"), ("False", "AuthFailed")):
        obj = connection(status, reason, observed=2)
        assert (argo(obj)["status"], flux(obj)) == ("Progressing", "inProgress")


def test_the_layout_is_one_that_the_tools_apply() -> None:
    kustomization = yaml.safe_load((GITOPS / "mail/kustomization.yaml").read_text())
    found = {name: yaml.safe_load((GITOPS / "mail" / name).read_text()) for name in kustomization["resources"]}
    wanted = found["support.yaml"]["spec"]["auth"]["passwordSecretRef"]
    written = found["support-password.yaml"]["spec"]
    assert written["target"]["name"] == wanted["name"]
    assert [d["secretKey"] for d in written["data"]] == [wanted["key"]]


def test_the_page_shows_the_health_check_as_it_is() -> None:
    page = (ROOT / "docs/gitops.md").read_text()
    shown = re.search(r"health\.mailfetch\.dev_MailConnection: \|\n(.*?)```", page, re.DOTALL)
    assert shown
    script = "\n".join(line.removeprefix("    ") for line in shown[1].rstrip().splitlines())
    code = (GITOPS / "argocd/health.lua").read_text().rstrip().splitlines()
    assert script.splitlines() == [line for line in code if not line.startswith("--")]
