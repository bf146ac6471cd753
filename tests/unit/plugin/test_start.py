"""The plugin starts fast and needs nothing of the operator or the fetcher."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pykube", "rich", "requests", "yaml", "asyncio", "msal", "google_auth_oauthlib", "webbrowser"}
FOREIGN = {"msgspec", "mailfetch_fetcher", "mailfetch_operator", "redis", "imapclient", "kopf", "kubernetes", "aiohttp"}
RUN = """
import json, sys
sys.argv = ["kubectl-mailfetch", *{args!r}]
from kubectl_mailfetch.main import main
try:
    main()
except SystemExit as e:
    code = e.code
print(json.dumps([code, sorted({{m.split(".")[0] for m in sys.modules}}), len(sys.modules)]), file=sys.stderr)
"""


def modules_after(*args: str, **env: str) -> tuple[int, set[str], int]:
    """Exit code, top-level modules and number of modules of a run in a fresh interpreter."""
    run = [sys.executable, "-c", RUN.format(args=list(args))]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, **env})
    code, names, count = json.loads(done.stderr.splitlines()[-1])
    return code or 0, set(names), count


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["list", "--help"],
        ["status", "-h"],
        ["enable", "--help"],
        ["authorize", "--help"],
        ["queue", "-h"],
        ["purge", "-h"],
        ["test", "-h"],
        ["refetch", "-h"],
        ["completion", "-h"],
    ],
)
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code, names, count = modules_after(*args)
    assert code == 0
    assert not names & (HEAVY | FOREIGN)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(len(sys.modules))"], capture_output=True, text=True, check=True
    )
    assert count <= 12 * int(bare.stdout)


def test_commands_import_nothing_of_the_operator_or_the_fetcher(tmp_path: Path) -> None:
    code, names, _ = modules_after("list", KUBECONFIG=str(tmp_path / "absent"))
    assert code == 4
    assert "pykube" in names
    assert not names & FOREIGN


def test_wrong_usage_has_its_own_exit_code() -> None:
    assert modules_after("status")[0] == 2
    assert modules_after("enable", "a", "b")[0] == 2
    assert modules_after("list", "-o", "xml")[0] == 2
    assert modules_after("authorize")[0] == 2
    assert modules_after("queue", "--state", "lost")[0] == 2
    assert modules_after("queue", "--limit", "0")[0] == 2
    for forbidden in ([], ["id", "--state", "done"], ["--log", "--state", "new"], ["id", "--log"]):
        assert modules_after("purge", *forbidden)[0] == 2


def loaded_with(*modules: str) -> tuple[set[str], set[str]]:
    """What importing these modules of the plugin loads of the fetcher, and all top-level modules."""
    imports = "; ".join(f"import kubectl_mailfetch.{module}" for module in modules)
    run = [sys.executable, "-c", f"import json, sys; {imports}; print(json.dumps(sorted(sys.modules)))"]
    names = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    return {n for n in names if n.split(".")[0] == "mailfetch_fetcher"}, {n.split(".")[0] for n in names}


def test_authorizing_needs_no_more_of_the_fetcher_than_where_the_providers_are() -> None:
    """The plugin is installed without the libraries of the fetcher."""
    modules = ("command", "loopback", "google", "microsoft", "mailbox", "browser")
    of_fetcher, names = loaded_with(*(f"authorize.{module}" for module in modules))
    contract = "mailfetch_fetcher.contract"
    assert of_fetcher == {"mailfetch_fetcher", contract, f"{contract}.providers"}
    assert not names & (FOREIGN - {"mailfetch_fetcher"})


def test_testing_a_file_needs_no_more_of_the_fetcher_than_where_things_are_mounted() -> None:
    of_fetcher, names = loaded_with("trial_cli", "trial_run", "trial_secrets", "trial")
    contract = "mailfetch_fetcher.contract"
    assert of_fetcher == {"mailfetch_fetcher", contract, f"{contract}.mounts"}
    assert not names & (FOREIGN - {"mailfetch_fetcher"})
