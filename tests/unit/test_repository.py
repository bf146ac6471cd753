"""Rules of the repository that no linter knows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = re.compile(
    r"pypi\.(org|python)|pythonhosted|proxy\.golang|registry\.npmjs|crates\.io|deb\.debian|repo1?\.maven", re.IGNORECASE
)


def tracked() -> list[Path]:
    """Files that git would commit; without git (a source archive) everything that is there."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    names = (
        listed.stdout.splitlines() if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    )
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@pytest.mark.parametrize("root", ["operator", "fetcher"])
def test_source_roots_are_no_packages(root: str) -> None:
    """`operator/__init__.py` would shadow Python's own module operator in every interpreter started here."""
    assert not (ROOT / root / "__init__.py").exists()


def test_an_interpreter_in_the_repository_finds_its_own_operator() -> None:
    code = "import operator, collections; print(operator.eq(1, 1))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_modules_of_the_product_are_short() -> None:
    sources = [p for p in tracked() if p.suffix == ".py" and p.parts[len(ROOT.parts)] in ("operator", "fetcher")]
    assert len(sources) > 50
    long = {str(p.relative_to(ROOT)): n for p in sources if (n := len(p.read_text().splitlines())) > 300}
    assert long == {}


def test_no_file_names_a_package_registry() -> None:
    found = [
        str(p.relative_to(ROOT))
        for p in tracked()
        if p != Path(__file__) and REGISTRIES.search(p.read_text(errors="ignore"))
    ]
    assert found == []


def test_locks_have_hashes_and_no_index() -> None:
    locks = sorted(ROOT.glob("requirements*.txt"))
    assert len(locks) >= 3
    for lock in locks:
        text = lock.read_text()
        assert "index-url" not in text
        pinned = re.findall(r"^[a-z0-9][^ ]*==[^ ]+", text, re.MULTILINE)
        blocks = re.split(r"^(?=[a-z0-9][^ ]*==)", text, flags=re.MULTILINE)[1:]
        assert len(blocks) == len(pinned) > 0
        assert all("--hash=sha256:" in block for block in blocks), lock.name
