"""Every volume is a folder of its own that any user of a pod may write to."""

import json
from pathlib import Path

from tests.cluster.volumes import STORAGE_CLASS, make_folders, manifests


def test_each_call_makes_new_folders(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "volumes", 2) + make_folders(tmp_path / "volumes", 1)
    assert len(set(folders)) == 3
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o777}


def test_the_class_is_the_default_and_the_volumes_belong_to_it(tmp_path: Path) -> None:
    items = json.loads(manifests(make_folders(tmp_path, 2), node="one"))["items"]
    storage_class, *volumes = items
    assert storage_class["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert [volume["spec"]["storageClassName"] for volume in volumes] == [STORAGE_CLASS, STORAGE_CLASS]
    assert len({volume["spec"]["local"]["path"] for volume in volumes}) == 2
