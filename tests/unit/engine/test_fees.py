"""Commissions as fills book them: by the account type, in its currency, once an order."""

from dataclasses import replace
from typing import Any

from tests.support.engine_cases import NOW, account, catalog, command, market, profile, quote

from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, write_quotes
from quantlab.engine.execute import execute
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.quote import Quote

EURUSD = quote("EURUSD", "1.10000", "1.10000")
USDJPY = quote("USDJPY", "150.000", "150.000")


def trade(
    state: Account,
    terms: dict[str, Any],
    *quotes: Quote,
    **payload: Any,
) -> Outcome:
    asked = {"symbol": "EURUSD", "action": "buy", "quantity": "1", **payload}
    context = Context(
        market(*quotes),
        profile(),
        frozenset(catalog().instruments),
        NOW,
        trading=read_trading_terms({"commissions": terms}),
    )
    return execute(state, command(**asked), context)


def test_a_fill_books_basis_points_with_the_rate_it_records() -> None:
    terms = {"fx": {"commissionMinorPerLot": "300", "commissionBasisPoints": "0.2"}}
    (fill,) = trade(account(), terms, USDJPY, symbol="USDJPY").fills
    # 3.00 a lot, and 0.2 bp of 15,000,000 yen = 300 yen = 2.00 dollars.
    assert fill.commission_minor == 500
    assert (fill.rate_num, fill.rate_den) == (2, 3), "a yen is two thirds of a cent"
    (entry,) = fill.entries
    assert (entry.kind, entry.amount_minor, entry.carry_micro) == ("commission", -500, 0)


def test_a_fraction_of_a_cent_is_carried_to_the_next_booking() -> None:
    terms = {"EURUSD": {"commissionMinorPerLot": "0.6"}}
    first = trade(account(), terms, EURUSD)
    assert (first.fills[0].commission_minor, first.account.carry_micro) == (1, 400_000)
    second = trade(first.account, terms, EURUSD)
    assert (second.fills[0].commission_minor, second.account.carry_micro) == (0, -200_000)
    third = trade(second.account, terms, EURUSD)
    assert third.account.balance_minor == account().balance_minor - 2
    assert third.account.carry_micro == 200_000, "1.8 cents were charged, 2 are booked"


def test_the_minimum_is_charged_once_for_an_order_filled_in_parts() -> None:
    terms = {"*": {"commissionMinorPerLot": "100", "minimumMinorPerOrder": "80"}}
    limit = {"orderType": "limit", "price": "1.10000", "timeInForce": "gtc"}
    first = trade(account(), terms, replace(EURUSD, ask_size_steps=50), **limit)
    assert [fill.commission_minor for fill in first.fills] == [80], "50 of 80"
    (order,) = first.account.working.values()
    assert order.terms.fee_micro == 50_000_000
    reached = replace(EURUSD, seq=2)
    context = Context(
        market(reached),
        profile(),
        frozenset(catalog().instruments),
        NOW,
        trading=read_trading_terms({"commissions": terms}),
    )
    called = {
        "orderId": order.order_id,
        "peakTicks": None,
        "feedSeq": 2,
        "quotes": write_quotes([reached]),
    }
    second = execute(first.account, command("work_order", "watch", **called), context)
    assert [fill.commission_minor for fill in second.fills] == [20], "100 in all"
    assert second.account.balance_minor == account().balance_minor - 100


def test_what_was_charged_can_be_computed_from_the_event() -> None:
    terms = {"*": {"commissionMinorPerLot": "0", "commissionBasisPoints": "1.5"}}
    outcome = trade(account(), terms, EURUSD)
    (event,) = [one for one in outcome.events if one.event_type == "order.filled"]
    assert event.payload["feeTerms"] == {
        "perStepMicro": "0/1",
        "notionalPpm": 150,
        "minimumMicro": "0",
        # 110,000.00 dollars times 150 millionths.
        "chargedMicro": str(1650 * 1_000_000),
    }
    assert event.payload["commission"] == "16.50"
