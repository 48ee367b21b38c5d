"""Which states of an account and which quotes the watch goes by."""

from dataclasses import replace

from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    FREE,
    NOW,
    daily_loss,
    feed,
    holding,
    names,
    position,
    quote,
    watching,
)

from quantlab.engine.watch import Watch
from quantlab.engine.watched import RETRY_NS


def test_an_older_state_never_replaces_a_newer_one() -> None:
    account = holding(FREE, position(stop=ENTRY - 50))
    watch = watching(account, FREE)
    closed = replace(account, event_seq=9, positions={})
    watch.put(closed, FREE, NOW, NOW)
    watch.put(account, FREE, NOW, NOW)
    assert watch.account_ids == frozenset()
    assert feed(watch, quote(ENTRY - 60)) == []


def test_a_reload_drops_what_holds_nothing_any_more() -> None:
    kept = holding(FREE, position(stop=ENTRY - 50))
    gone = replace(kept, account_id="account-2")
    watch = watching(kept, FREE)
    watch.put(gone, FREE, NOW, NOW)
    begun = watch.begin_reload()
    watch.put(kept, FREE, NOW, NOW)
    watch.end_reload(begun)
    assert watch.account_ids == {"account-1"}
    assert [one.account_id for one in feed(watch, quote(ENTRY - 50))] == ["account-1"]


def test_a_reload_reads_only_what_is_not_known_to_stand_still() -> None:
    kept = replace(holding(FREE, position(stop=ENTRY - 50)), event_seq=7)
    gone = replace(kept, account_id="account-2")
    watch = watching(kept, FREE)
    watch.put(gone, FREE, NOW, NOW)
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect", "protect"]
    begun = watch.begin_reload()
    assert not watch.confirm("a stranger", 7)
    assert not watch.confirm("account-1", 8)
    assert watch.confirm("account-1", 6)
    assert feed(watch, quote(ENTRY - 50, seq=3)) == []
    assert watch.confirm("account-1", 7)
    watch.end_reload(begun)
    assert watch.account_ids == {"account-1"}
    assert names(feed(watch, quote(ENTRY - 50, seq=4))) == ["protect"]


def test_quotes_of_other_symbols_and_repeated_quotes_concern_nobody() -> None:
    watch = watching(holding(FREE, position(stop=ENTRY - 50)), FREE)
    assert feed(watch, quote(1000, symbol="USDJPY")) == []
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect"]
    assert feed(watch, quote(ENTRY - 50, seq=2), NOW + RETRY_NS) == []


def test_after_a_time_without_quotes_the_latest_are_judged_at_once() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 50))
    watch = Watch(CATALOG)
    watch.set_quotes([quote(ENTRY - 6000)])
    assert names(watch.put(account, profile, NOW, NOW)) == ["protect", "check_rules"]
    assert watch.judge_all(NOW, NOW) == []
    assert names(watch.judge_all(NOW, NOW + RETRY_NS)) == ["protect", "check_rules"]


def test_a_silent_feed_suspends_every_quote_until_it_speaks_again() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 50))
    watch = Watch(CATALOG)
    watch.set_quotes([quote(ENTRY - 6000)])
    watch.silence()
    assert watch.put(account, profile, NOW, NOW) == []
    watch.set_quotes([quote(ENTRY - 6000)])
    assert names(watch.judge_all(NOW, NOW)) == ["protect", "check_rules"]


def test_a_quote_overtaken_by_a_look_at_the_latest_is_judged_all_the_same() -> None:
    watch = watching(holding(FREE, position(stop=ENTRY - 50)), FREE)
    watch.set_quotes([quote(ENTRY + 20, seq=3)])
    assert watch.judge_all(NOW, NOW) == []
    assert feed(watch, quote(ENTRY + 10, seq=1)) == []
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect"]
