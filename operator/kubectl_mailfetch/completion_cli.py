"""The command `completion`, and the executable `kubectl_complete-mailfetch` that shells and kubectl ask."""

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.options import EPILOG

_TIMEOUT = 3.0
"""Seconds for the names: whoever pressed a key waits."""

_BASH = r"""
_kubectl_mailfetch() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :0) compopt -o default ;;
            :*) ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(kubectl_complete-mailfetch "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _kubectl_mailfetch kubectl-mailfetch
"""
_ZSH = r"""
_kubectl_mailfetch() {
    local line
    local -a found
    for line in "${(@f)$(kubectl_complete-mailfetch "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            :0) _files ;;
            :*) ;;
            *) line=${line//:/\\:}; found+=("${line/$'\t'/:}") ;;
        esac
    done
    _describe 'kubectl mailfetch' found
}
compdef _kubectl_mailfetch kubectl-mailfetch
"""
_FISH = r"""
function __kubectl_mailfetch
    set -l words (commandline -opc)
    kubectl_complete-mailfetch $words[2..] (commandline -ct) 2>/dev/null | string match -rv '^:'
end
complete -c kubectl-mailfetch -f -a '(__kubectl_mailfetch)'
complete -c kubectl-mailfetch -s f -l file -r -F
complete -c kubectl-mailfetch -l kubeconfig -r -F
complete -c kubectl-mailfetch -l ca-file -r -F
"""
_HEAD = """\
# Completion of kubectl-mailfetch. `kubectl mailfetch` is completed by kubectl's own completion
# (kubectl completion {shell}), which asks the executable kubectl_complete-mailfetch; it is installed with the plugin.
# Load this one with: {load}"""


class Shell(StrEnum):
    """Shells with completion."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


_SCRIPTS = {Shell.bash: _BASH, Shell.zsh: _ZSH, Shell.fish: _FISH}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EPILOG)(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> None:
    """Print the completion of a shell, for its start-up file."""
    call = f"kubectl-mailfetch completion {shell}"
    load = f"{call} | source" if shell is Shell.fish else f"source <({call})"
    typer.echo(_HEAD.format(shell=shell, load=load) + _SCRIPTS[shell], nl=False)


def main() -> None:
    """Entry point of `kubectl_complete-mailfetch`: never an error, for nobody would read it."""
    from kubectl_mailfetch.completion import suggest
    from kubectl_mailfetch.main import app

    typer.echo("\n".join(suggest(app, sys.argv[1:], _names)))


def _names(given: Mapping[str, str]) -> Sequence[str]:
    from kubectl_mailfetch.kube import connect

    try:
        cluster = connect(option=given.get("kubeconfig", ""), context=given.get("context", ""), timeout=_TIMEOUT)
        return cluster.names(given.get("namespace") or cluster.namespace)
    except PluginError:
        return ()
