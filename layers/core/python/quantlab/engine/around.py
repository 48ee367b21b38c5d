"""What rules looked at outside the account, as it is recorded with a command and read back.

Instants and sizes are text: JSON numbers end at 2^53.
"""

from collections.abc import Mapping
from typing import Any

from quantlab.kernel.canonical import Json
from quantlab.rules.surroundings import LinkedAccount, LinkedOrder, NewsEvent, Surroundings


def write_surroundings(around: Surroundings) -> dict[str, Json]:
    """Write what is known of the surroundings; what is unknown is left out."""
    written: dict[str, Json] = {}
    if around.news is not None:
        written["news"] = [_release(event) for event in around.news]
    if around.linked is not None:
        written["linked"] = [_account(one) for one in around.linked]
    return written


def read_surroundings(recorded: Mapping[str, Any]) -> Surroundings:
    """Read them back; KeyError or ValueError where they are not what was written."""
    news, linked = recorded.get("news"), recorded.get("linked")
    return Surroundings(
        None if news is None else tuple(_read_release(item) for item in news),
        None if linked is None else tuple(_read_account(item) for item in linked),
    )


def _release(event: NewsEvent) -> Json:
    return {
        "atNs": str(event.at_ns),
        "name": event.name,
        "impact": event.impact,
        "currencies": sorted(event.currencies),
        "symbols": sorted(event.symbols),
    }


def _account(one: LinkedAccount) -> Json:
    return {
        "accountId": one.account_id,
        "sameOwner": one.same_owner,
        "positions": [
            {"symbol": symbol, "sizeSteps": str(steps)} for symbol, steps in one.positions
        ],
        "orders": [
            {"symbol": order.symbol, "side": order.side, "atNs": str(order.at_ns)}
            for order in one.orders
        ],
    }


def _read_release(item: Mapping[str, Any]) -> NewsEvent:
    return NewsEvent(
        at_ns=int(item["atNs"]),
        name=item["name"],
        impact=item["impact"],
        currencies=frozenset(item["currencies"]),
        symbols=frozenset(item["symbols"]),
    )


def _read_account(item: Mapping[str, Any]) -> LinkedAccount:
    return LinkedAccount(
        account_id=item["accountId"],
        same_owner=item["sameOwner"],
        positions=tuple((held["symbol"], int(held["sizeSteps"])) for held in item["positions"]),
        orders=tuple(
            LinkedOrder(order["symbol"], order["side"], int(order["atNs"]))
            for order in item["orders"]
        ),
    )
