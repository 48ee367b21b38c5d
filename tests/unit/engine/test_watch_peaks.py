"""The peaks of equity that the watch sees, hands on and goes by."""

from dataclasses import replace

from tests.support.watch_cases import (
    ENTRY,
    NOW,
    SECOND,
    feed,
    holding,
    position,
    quote,
    trailing,
    watching,
)


def test_a_peak_is_handed_on_once_a_second_and_at_the_end() -> None:
    profile = trailing()
    watch = watching(holding(profile, position()), profile)
    (first,) = feed(watch, quote(ENTRY + 100, seq=1), NOW + SECOND)
    assert (first.name, first.payload["peakMinor"]) == ("observe_equity", "10010000")
    assert feed(watch, quote(ENTRY + 200, seq=2), NOW + 2 * SECOND - 1) == []
    assert feed(watch, quote(ENTRY + 150, seq=3), NOW + 2 * SECOND - 1) == []
    assert watch.unstored_peaks(NOW + 2 * SECOND - 1) == []
    (second,) = watch.unstored_peaks(NOW + 2 * SECOND - 1, leaving=True)
    assert second.payload["peakMinor"] == "10020000"
    assert second.payload["feedSeq"] == 2
    assert watch.unstored_peaks(NOW + 2 * SECOND, leaving=True) == []


def test_a_trailing_floor_follows_a_peak_nobody_else_has_seen_yet() -> None:
    profile = trailing()
    watch = watching(holding(profile, position()), profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    assert feed(watch, quote(ENTRY - 2000, seq=3), NOW + SECOND) == [], "4 % below, not under it"
    (demand,) = feed(watch, quote(ENTRY - 2001, seq=4), NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("check_rules", "10200000")


def test_a_peak_survives_a_change_of_the_account_and_its_last_close() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    feed(watch, quote(ENTRY + 1500, seq=3), NOW + SECOND)
    stored = replace(account, event_seq=8, high_water_minor=10_100_000)
    assert watch.put(stored, profile, NOW, NOW + SECOND) == []
    closed = replace(stored, event_seq=9, positions={})
    (demand,) = watch.put(closed, profile, NOW, NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("observe_equity", "10200000")
    assert watch.account_ids == frozenset()


def test_a_peak_is_handed_on_before_the_day_it_was_seen_in_ends() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    reset_ns = account.day.next_reset_ns
    later = replace(quote(ENTRY, seq=3), ts_ns=reset_ns)
    first, second = watch.on_quote(later, reset_ns, reset_ns)
    assert (first.name, first.payload["peakMinor"]) == ("observe_equity", "10200000")
    assert second.name == "roll_day"


def test_a_peak_that_a_correction_has_taken_back_stays_away() -> None:
    profile = trailing()
    account = replace(holding(profile, position()), high_water_minor=10_500_000)
    watch = watching(account, profile)
    corrected = replace(account, event_seq=account.event_seq + 1, high_water_minor=10_000_000)
    watch.put(corrected, profile, NOW, NOW)
    (demand,) = feed(watch, quote(ENTRY + 100, seq=1), NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("observe_equity", "10010000")
