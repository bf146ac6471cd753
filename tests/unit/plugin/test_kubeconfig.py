from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.kubeconfig import candidates, choose_context, load


def write(path: Path, name: str, **cluster: Any) -> Path:
    doc = {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}", **cluster}}],
        "users": [{"name": name, "user": {"client-key": "keys/me.key"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(doc))
    return path


def test_the_option_wins_then_the_variable_then_the_home_folder(tmp_path: Path) -> None:
    home = write(tmp_path / ".kube/config", "home")
    one, two = write(tmp_path / "one", "one"), write(tmp_path / "two", "two")
    environment = {"HOME": str(tmp_path), "KUBECONFIG": str(one)}
    assert candidates(str(two), environment) == [two]
    assert candidates("", environment) == [one]
    assert candidates("", {"HOME": str(tmp_path)}) == [home]
    assert candidates("", {"HOME": str(tmp_path), "KUBECONFIG": f"{one}:{tmp_path / 'absent'}:{two}"}) == [one, two]
    assert candidates("", {"HOME": str(tmp_path / "nobody")}) == []


@pytest.mark.parametrize(("option", "variable"), [("/nowhere/x", ""), ("", "/nowhere/x")])
def test_a_named_file_that_is_absent_is_an_error(option: str, variable: str) -> None:
    with pytest.raises(PluginError, match="/nowhere/x, which is not a file") as caught:
        candidates(option, {"KUBECONFIG": variable})
    assert caught.value.code == Exit.NO_CLUSTER


def test_files_are_merged_first_one_wins_and_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    one = write(tmp_path / "a/one", "x", **{"certificate-authority": "ca.crt"})
    two = write(tmp_path / "b/two", "x", **{"certificate-authority": "other.crt"})
    three = write(tmp_path / "b/three", "y")
    merged = load([one, two, three])
    assert [c["name"] for c in merged["clusters"]] == ["x", "y"]
    assert merged["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "a/ca.crt")
    assert merged["users"][1]["user"]["client-key"] == str(tmp_path / "b/keys/me.key")
    assert merged["current-context"] == "x"


@pytest.mark.parametrize("content", ["- a list", "{", "\udcff"])
def test_what_is_no_kubeconfig_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(PluginError, match=str(path)):
        load([path])


def test_an_unknown_context_names_those_that_there_are(tmp_path: Path) -> None:
    doc = load([write(tmp_path / "one", "prod"), write(tmp_path / "two", "staging")])
    assert choose_context(doc, "") == "prod"
    assert choose_context(doc, "staging") == "staging"
    with pytest.raises(PluginError, match=r"no context 'dev'.*prod, staging"):
        choose_context(doc, "dev")
    with pytest.raises(PluginError, match="no current context"):
        choose_context({**doc, "current-context": ""}, "")
