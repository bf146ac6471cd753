from mailfetch_fetcher.sources.base import PendingAction
from mailfetch_fetcher.translate import Translation


def action(key: str, fingerprint: str, entry: str = "1-0") -> PendingAction:
    member = f"{key} {fingerprint} Move copying {entry} Done and dusted"
    return PendingAction(
        key=key,
        fingerprint=fingerprint,
        kind="Move",
        folder="Done and dusted",
        phase="copying",
        entry=entry,
        member=member,
        same_session=False,
    )


def translated(actions: list[PendingAction], seen: list[tuple[str, str]]) -> dict[str, str]:
    translation = Translation(actions)
    for key, fingerprint in seen:
        translation.saw(key, fingerprint)
    return translation.result()


def test_an_action_follows_its_mail_and_keeps_all_else() -> None:
    one = action("1/5", "aa")
    assert translated([one], [("2/1", "bb"), ("2/2", "aa")]) == {one.member: "2/2 aa Move copying 1-0 Done and dusted"}


def test_an_action_whose_mail_is_gone_is_dropped() -> None:
    one = action("1/5", "aa")
    assert translated([one], [("2/1", "bb")]) == {one.member: ""}


def test_twins_follow_in_order() -> None:
    one, two = action("1/5", "aa", "1-0"), action("1/6", "aa", "2-0")
    changes = translated([one, two], [("2/3", "aa"), ("2/9", "aa")])
    assert [change.split()[0] for change in changes.values()] == ["2/3", "2/9"]


def test_fewer_twins_than_actions() -> None:
    one, two = action("1/5", "aa", "1-0"), action("1/6", "aa", "2-0")
    assert list(translated([one, two], [("2/3", "aa")]).values()) == ["2/3 aa Move copying 1-0 Done and dusted", ""]


def test_an_action_that_already_names_its_mail_keeps_it() -> None:
    """Downloaded in an earlier attempt of the same reset; its twin from before takes what is left."""
    old, new = action("1/5", "aa", "1-0"), action("2/3", "aa", "2-0")
    assert translated([old, new], [("2/3", "aa"), ("2/4", "aa")]) == {
        old.member: "2/4 aa Move copying 1-0 Done and dusted"
    }


def test_an_empty_outbox_needs_nothing() -> None:
    assert translated([], [("2/3", "aa")]) == {}
