"""The documentation is true where a machine can tell: links resolve, names exist, every name is documented."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ANNOTATIONS = ROOT / "docs/annotations.md"
GROUP = "mailfetch.dev"
NOT_ON_OBJECTS = {
    "v1alpha1",  # apiVersion
    "operator",  # reportingController of events
}

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
FORBIDDEN = re.compile(r"\b(TODO|FIXME|XXX|TBD|lorem ipsum)\b|/root/|/home/", re.IGNORECASE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+\s+(.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def source_files() -> list[Path]:
    places = ("operator", "fetcher", "crds", "charts", "examples")
    return [
        path
        for place in places
        for path in (ROOT / place).rglob("*")
        if path.suffix in {".py", ".yaml", ".yml", ".tpl", ".txt", ".json", ".lua"} and path.is_file()
    ]


def names_in_use() -> dict[str, str]:
    """Names below mailfetch.dev/ in code, chart and examples, with a file that uses each."""
    found: dict[str, str] = {}
    pattern = re.compile(rf"(?<![\w.-]){re.escape(GROUP)}/([a-z][a-z0-9-]*)")
    for path in source_files():
        for name in pattern.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, page_id(path))
    for path in source_files():
        for name in re.findall(r'f"\{(?:names\.)?GROUP\}/([a-z-]+)"', path.read_text(encoding="utf-8")):
            found.setdefault(name, page_id(path))
    return {n: f for n, f in found.items() if n not in NOT_ON_OBJECTS}


def documented() -> set[str]:
    return set(re.findall(rf"{re.escape(GROUP)}/([a-z][a-z0-9-]*)", ANNOTATIONS.read_text()))


def test_there_are_pages() -> None:
    assert len(PAGES) > 8


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_within_the_repository_resolve(page: Path) -> None:
    text = page.read_text()
    broken = []
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
            broken.append(target)
    assert broken == []


def test_every_page_stands_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / t.partition("#")[0]).resolve() for t in LINK.findall(index.read_text())}
    missing = [page_id(p) for p in PAGES if p.is_relative_to(ROOT / "docs") and p != index and p not in linked]
    assert missing == []


def test_every_annotation_and_label_of_the_code_is_in_the_catalogue() -> None:
    used = names_in_use()
    assert {"enable", "acknowledge", "fetcher", "fingerprint", "applied-hash"} <= set(used)
    assert {n: f for n, f in used.items() if n not in documented()} == {}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pages_have_none_of_the_forbidden_words(page: Path) -> None:
    assert [m[0] for m in FORBIDDEN.finditer(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_blocks_are_closed(page: Path) -> None:
    assert page.read_text().count("```") % 2 == 0


def test_the_metrics_of_the_operations_page_are_those_of_the_code() -> None:
    defined = set()
    for module in ("fetcher/mailfetch_fetcher/metrics.py", "operator/mailfetch_operator/metrics.py"):
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and str(first.value).startswith("mailfetch_"):
                    is_counter = node.func.id == "Counter" and not str(first.value).endswith("_total")
                    defined.add(str(first.value) + ("_total" if is_counter else ""))
    page = (ROOT / "docs/operations.md").read_text()
    # The exporter adds these to a histogram; `mailfetch_operator` and the like are names of modules.
    written = {re.sub(r"_(bucket|count|sum)$", "", n) for n in re.findall(r"\bmailfetch_[a-z_]+", page)}
    assert defined
    assert written == defined


def test_the_entry_fields_of_the_consumers_page_are_those_of_the_commit() -> None:
    script = (ROOT / "fetcher/mailfetch_fetcher/store/lua/commit.lua").read_text()
    added = re.search(r"XADD', KEYS\[2\], '\*'(.*?)KEYS\[blob\] or", script, re.DOTALL)
    assert added
    fields = set(re.findall(r"'([a-z_0-9]+)'", added[1]))
    section = (ROOT / "docs/consumers.md").read_text().partition("## The entry")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)} == fields
    assert "id" in fields


def test_what_this_version_does_not_run_is_documented() -> None:
    """The words of `unsupported` in the contract, each on the guarantees page, and no others."""
    source = (ROOT / "fetcher/mailfetch_fetcher/contract/spec.py").read_text()
    body = source.partition("def unsupported")[2]
    page = (ROOT / "docs/guarantees.md").read_text().partition("## What this version does not run yet")[2]
    words = {"certificates": "S/MIME"}
    keys = re.findall(r'^\s+f?"([^"]+)":', body, re.MULTILINE)
    assert {next((known for known in words if key.startswith(known)), key) for key in keys} == set(words)
    assert [word for word in words.values() if word not in page] == []
    assert [
        word
        for word in ("POP3", "Graph", "OAuth2", "shared", "`deletionPolicy", "`afterDownload", "`backlog", "Sentinel")
        if word in page
    ] == []
