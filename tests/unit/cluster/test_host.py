"""What was recorded is found again, and a process number alone proves nothing."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.cluster.host import ProcessId, Record
from tests.cluster.node_config import Slot


def test_a_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        identity = ProcessId.of(child.pid)
        assert identity.is_alive()
        child.kill()
    assert not identity.is_alive()


def test_another_process_with_the_same_number_is_not_taken_for_it() -> None:
    me = ProcessId.of(os.getpid())
    assert me.is_alive()
    assert not replace(me, started="1").is_alive()


def test_a_record_survives(tmp_path: Path) -> None:
    assert Record.load(tmp_path) is None
    early = Record(slot=Slot(number=2), owner=None)
    complete = Record(slot=Slot(number=2), owner=ProcessId(pid=7, started="1"), init=ProcessId(pid=8, started="2"))
    for record in (early, complete):
        record.save(tmp_path)
        assert Record.load(tmp_path) == record
