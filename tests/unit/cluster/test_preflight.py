"""Each thing that is missing is named together with its remedy."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster import preflight as module
from tests.cluster.preflight import preflight


@pytest.fixture(autouse=True)
def _capable_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root on a machine that has everything; tests take one thing away."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(module, "CNI_FOLDERS", (tmp_path,))
    for plugin in module.CNI_PLUGINS:
        (tmp_path / plugin).touch()
    monkeypatch.setattr(module, "NEEDED_DISK", 1)
    monkeypatch.setattr(module, "NEEDED_MEMORY", 1)
    monkeypatch.setattr(module, "_cgroups", lambda: [])
    monkeypatch.setattr(module, "_trial", lambda state: [])


def test_a_capable_machine_has_no_problem(tmp_path: Path) -> None:
    assert preflight(tmp_path) == []


def test_without_root_nothing_else_matters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    [problem] = preflight(tmp_path)
    assert "sudo" in problem


def test_each_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("runc", "ip") else f"/usr/bin/{name}")
    problems = preflight(tmp_path)
    assert [problem.split()[2] for problem in problems] == ["ip", "runc"]
    assert all("hack/deps.sh" in problem for problem in problems)


def test_a_missing_plugin_is_named(tmp_path: Path) -> None:
    (tmp_path / "portmap").unlink()
    [problem] = preflight(tmp_path)
    assert "portmap" in problem
    assert "containernetworking-plugins" in problem


@pytest.mark.parametrize(("limit", "word"), [("NEEDED_DISK", "GiB left"), ("NEEDED_MEMORY", "of memory")])
def test_too_little_room_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, word: str) -> None:
    monkeypatch.setattr(module, limit, 1 << 60)
    [problem] = preflight(tmp_path)
    assert word in problem


def test_a_folder_that_does_not_exist_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert preflight(tmp_path / "not" / "yet") == []


@pytest.mark.parametrize("folder", ["/run/node", "/var/lib/node", "/var/log/node"])
def test_folders_that_the_node_replaces_are_refused(folder: str) -> None:
    [problem] = preflight(Path(folder))
    assert "another folder" in problem


def test_what_the_system_forbids_is_tried_when_all_else_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_trial", lambda state: ["forbidden"])
    assert preflight(tmp_path) == ["forbidden"]
