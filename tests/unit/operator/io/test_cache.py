"""The cache never goes back in time and never keeps what is gone."""

from typing import Any

from mailfetch_operator.cache import Cache, Object

Change = tuple[str | None, str | None]


def made(version: int, *, name: str = "a", namespace: str = "ns", uid: str = "u1", **meta: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version), **meta},
        "spec": {"made": version},
    }


def cache() -> tuple[Cache, list[Change]]:
    changes: list[Change] = []

    def changed(before: Object | None, after: Object | None) -> None:
        changes.append((version(before), version(after)))

    return Cache(changed=changed), changes


def version(found: Object | None) -> str | None:
    return str(found["metadata"]["resourceVersion"]) if found else None


def test_newer_objects_replace_older_ones_and_never_the_other_way() -> None:
    c, changes = cache()
    assert c.put("K", made(5))
    assert not c.put("K", made(5))
    assert not c.put("K", made(4))
    assert c.put("K", made(10))  # as a number: "10" < "5" as text
    assert version(c.get("K", "ns", "a")) == "10"
    assert changes == [(None, "5"), ("5", "10")]


def test_a_silent_put_tells_nobody_but_counts() -> None:
    c, changes = cache()
    c.put("K", made(5), silent=True)
    assert not c.put("K", made(5))
    assert changes == []


def test_a_removed_object_is_not_brought_back_by_an_older_answer() -> None:
    c, changes = cache()
    c.put("K", made(5))
    c.remove("K", made(9))
    assert not c.put("K", made(7))
    assert c.get("K", "ns", "a") is None
    assert changes == [(None, "5"), ("5", None)]


def test_an_object_that_became_ours_again_is_seen() -> None:
    c, _ = cache()
    c.put("K", made(5))
    c.remove("K", made(9))  # it lost its label
    assert c.put("K", made(12))


def test_removing_the_former_object_of_a_name_leaves_the_present_one() -> None:
    c, _ = cache()
    c.put("K", made(5))
    c.put("K", made(9, uid="u2"))
    c.remove("K", made(8, uid="u1"))
    assert version(c.get("K", "ns", "a")) == "9"


def test_after_a_list_what_it_did_not_hold_is_dropped_unless_it_is_newer() -> None:
    c, changes = cache()
    c.put("K", made(5, name="kept", uid="kept"))
    c.put("K", made(6, name="gone", uid="gone"))
    c.put("K", made(30, name="newer", uid="newer"))
    c.put("K", made(6, name="elsewhere", uid="elsewhere", namespace="other"))
    changes.clear()
    assert c.retain("K", "ns", uids={"kept"}, version="20") == 1
    assert [o["metadata"]["name"] for o in c.all("K")] == ["kept", "newer", "elsewhere"]
    assert changes == [("6", None)]
    assert not c.put("K", made(15, name="gone", uid="gone")), "an answer from before the list"


def test_a_list_of_everything_covers_all_namespaces() -> None:
    c, _ = cache()
    c.put("K", made(5, uid="a", namespace="one"))
    c.put("K", made(5, uid="b", namespace="two"))
    assert c.retain("K", None, uids=set(), version="20") == 2
    assert c.all("K") == []


def test_kinds_and_namespaces_are_kept_apart() -> None:
    c, _ = cache()
    c.put("K", made(1, uid="a"))
    c.put("L", made(2, uid="b"))
    c.put("K", made(3, uid="c", namespace="other"))
    assert [version(c.get(*where)) for where in (("K", "ns", "a"), ("L", "ns", "a"), ("K", "other", "a"))] == [
        "1",
        "2",
        "3",
    ]
    assert c.get("L", "other", "a") is None


def test_an_index_follows_its_objects() -> None:
    c = Cache(changed=lambda *_: None, index=lambda o: [o["metadata"].get("labels", {}).get("x")])

    def found(key: str | None) -> list[str]:
        return [o["metadata"]["name"] for o in c.find(key)]

    c.put("K", made(1, name="b", uid="b", labels={"x": "1"}))
    c.put("K", made(1, name="a", uid="a", labels={"x": "1"}))
    c.put("K", made(1, name="c", uid="c"))
    assert (found("1"), found("2"), found(None)) == (["a", "b"], [], ["c"])
    c.put("K", made(2, name="b", uid="b", labels={"x": "2"}))
    assert (found("1"), found("2")) == (["a"], ["b"])
    c.remove("K", made(3, name="a", uid="a"))
    c.put("K", made(4, name="b", uid="new", labels={"x": "3"}))
    assert (found("1"), found("2"), found("3")) == ([], [], ["b"])


def test_only_what_reconciling_needs_is_kept() -> None:
    c, _ = cache()
    raw = made(1, managedFields=[{"big": 1}], annotations={"mailfetch.dev/enable": "true", "kubectl…": "big"})
    c.put("MailConnection", {**raw, "status": {"fetch": {}}})
    found = c.get("MailConnection", "ns", "a")
    assert found is not None
    assert found["metadata"]["annotations"] == {"mailfetch.dev/enable": "true"}
    assert "managedFields" not in found["metadata"]
    assert found["status"] == {"fetch": {}}
