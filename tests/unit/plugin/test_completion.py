"""What the shells are told; the names are those of the commands, and nothing is asked of a cluster without need."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from kubectl_mailfetch.completion import options_of, suggest
from kubectl_mailfetch.main import app

BIN = Path(sys.executable).parent


class Names:
    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []

    def __call__(self, given: Mapping[str, str]) -> Sequence[str]:
        self.asked.append(dict(given))
        return ["support", "sales"]


def values(*words: str) -> list[str]:
    *found, directive = suggest(app, words, Names())
    assert directive == ":4"
    return [line.split("\t")[0] for line in found]


def test_commands() -> None:
    assert {"list", "status", "test", "queue", "completion"} <= set(values(""))
    assert values("sta") == ["status"]
    assert suggest(app, ["vers"], Names()) == ["version\tPrint the version of the plugin.", ":4"]
    assert values("nothing", "") == []


def test_every_option_of_every_command_is_one_that_it_takes() -> None:
    """Typer itself is the judge: it prints the same words in its help."""
    for command in app.registered_commands:
        assert command.callback
        name = command.name or command.callback.__name__
        shown = subprocess.run(
            [str(BIN / "kubectl-mailfetch"), name, "--help"],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        ).stdout  # fmt: skip
        for option in options_of(command.callback):
            assert all(word in shown for word in option.words), (name, option)
            assert option.help


def test_options_that_are_not_there_yet() -> None:
    assert "--watch" in values("status", "support", "--")
    assert "--watch" not in values("status", "--watch", "--")
    assert "--output" not in values("status", "-o", "json", "--")
    assert "--state" in values("queue", "--state", "New", "--st")


def test_values_of_options() -> None:
    assert values("status", "-o", "") == ["json", "name", "table", "wide", "yaml"]
    assert values("status", "--output", "j") == ["json"]
    assert values("completion", "") == ["bash", "fish", "zsh"]
    assert "New" in values("queue", "--state", "")
    assert values("status", "support", "-n", "") == []
    for words in (["test", "-f", ""], ["list", "--kubeconfig", "x"]):
        assert suggest(app, words, Names()) == [":0"]


def test_names_where_a_name_stands_and_only_there() -> None:
    names = Names()
    words = ["status", "--context", "dev", "-n", "helpdesk", "--kubeconfig=k", "--watch", "su"]
    assert suggest(app, words, names) == ["support", ":4"]
    assert names.asked == [{"context": "dev", "namespace": "helpdesk", "kubeconfig": "k", "watch": ""}]
    for other in (["status", "support", ""], ["list", ""], ["status", "--"], ["status", "-o", ""], [""]):
        names = Names()
        suggest(app, other, names)
        assert names.asked == []


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The executable that shells ask, as the installation has it, on the PATH."""
    asked = tmp_path / "kubectl_complete-mailfetch"
    asked.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from kubectl_mailfetch.completion_cli import main; main()" "$@"\n'
    )
    asked.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_bash_reads_the_script(path: str) -> None:
    script = subprocess.run(
        [str(BIN / "kubectl-mailfetch"), "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout

    def completed(*words: str) -> list[str]:
        run = '; COMP_CWORD=$(($# - 1)); COMP_WORDS=("$@"); _kubectl_mailfetch; printf "%s\\n" "${COMPREPLY[@]}"'
        return subprocess.run(
            ["bash", "-c", script + "true" + run, "bash", "kubectl-mailfetch", *words],
            capture_output=True, text=True, check=True, env={**os.environ, "PATH": path},
        ).stdout.split()  # fmt: skip

    assert completed("sta") == ["status"]
    assert completed("status", "-o", "") == ["json", "name", "table", "wide", "yaml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_asks_the_executable_and_names_itself(shell: str) -> None:
    script = subprocess.run(
        [str(BIN / "kubectl-mailfetch"), "completion", shell], capture_output=True, text=True, check=True
    ).stdout
    assert "kubectl_complete-mailfetch " in script
    assert f"kubectl-mailfetch completion {shell}" in script


def test_without_a_cluster_there_are_no_names_and_no_error(path: str) -> None:
    done = subprocess.run(
        ["kubectl_complete-mailfetch", "status", ""],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": path, "KUBECONFIG": "/nowhere"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (":4\n", "")
