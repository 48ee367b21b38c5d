"""What a strategy can read by name: the market, its position, the account, the fill."""

from typing import Final, NamedTuple


class Readable(NamedTuple):
    """A name the host gives a value for.

    of says what picks it: "" nothing, "symbol" an optional symbol, "bars" an optional symbol and
    timeframe, "rule" the slug of a rule. events limits where it means something, () everywhere.
    """

    scope: str
    field: str
    type: str
    unit: str
    doc: str
    of: str = ""
    events: tuple[str, ...] = ()


def _quote(field: str, unit: str, doc: str) -> Readable:
    return Readable("quote", field, "f", unit, doc, "symbol")


def _bar(field: str, type_: str, unit: str, doc: str) -> Readable:
    return Readable("bar", field, type_, unit, doc, "bars")


def _fill(field: str, type_: str, unit: str, doc: str) -> Readable:
    return Readable("fill", field, type_, unit, doc, "", ("fill",))


READABLES: Final[dict[str, Readable]] = {
    "bid": _quote("bid", "price", "The best bid of the latest quote."),
    "ask": _quote("ask", "price", "The best ask of the latest quote."),
    "bid_size": _quote("bid_size", "lots", "The size at the bid; na where the feed has none."),
    "ask_size": _quote("ask_size", "lots", "The size at the ask; na where the feed has none."),
    "open": _bar("open", "f", "price", "The open of the last closed bar."),
    "high": _bar("high", "f", "price", "The high of the last closed bar."),
    "low": _bar("low", "f", "price", "The low of the last closed bar."),
    "close": _bar("close", "f", "price", "The close of the last closed bar."),
    "volume": _bar("volume", "f", "lots", "The volume of the last closed bar; ticks where none."),
    "bar_time": _bar("time", "i", "ns since 1970, UTC", "The open time of the last closed bar."),
    "bar_index": _bar("index", "i", "bars", "The number of the last closed bar, from 0."),
    "time": Readable("clock", "time", "i", "ns since 1970, UTC", "The market time of the event."),
    "utc_offset": Readable(
        "clock", "utc_offset", "i", "ns", "What the strategy's time zone is ahead of UTC now."
    ),
    "position": Readable(
        "position", "size", "f", "lots", "The open position; short is negative.", "symbol"
    ),
    "position_price": Readable(
        "position", "price", "f", "price", "The average entry price; na when flat.", "symbol"
    ),
    "position_profit": Readable(
        "position", "profit", "f", "account currency", "The open profit of the position.", "symbol"
    ),
    "balance": Readable("account", "balance", "f", "account currency", "The balance."),
    "equity": Readable(
        "account", "equity", "f", "account currency", "The balance and the open profit."
    ),
    "free_margin": Readable(
        "account", "free_margin", "f", "account currency",
        "The equity less what positions use and orders reserve of it as margin.",
    ),
    "day_profit": Readable(
        "account", "day_profit", "f", "account currency",
        "The equity less that at the last reset of the trading day.",
    ),
    "working_orders": Readable(
        "account", "working_orders", "i", "orders", "How many orders of the strategy work."
    ),
    "tick_size": Readable("instrument", "tick_size", "f", "price", "The price step.", "symbol"),
    "lot_step": Readable("instrument", "lot_step", "f", "lots", "The size step.", "symbol"),
    "floor": Readable(
        "rule", "floor", "f", "account currency", "The equity below which a rule is broken.", "rule"
    ),
    "floor_distance": Readable(
        "rule", "distance", "f", "account currency", "The equity less the floor of a rule.", "rule"
    ),
    "fill_order": _fill("order", "i", "order id", "The id that placed what has filled."),
    "fill_side": _fill("side", "i", "1 or -1", "1 for a buy, -1 for a sell."),
    "fill_size": _fill("size", "f", "lots", "The size of the fill."),
    "fill_price": _fill("price", "f", "price", "The price of the fill."),
    "fill_profit": _fill("profit", "f", "account currency", "What the fill has realised."),
    "fill_remaining": _fill("remaining", "f", "lots", "What of the order has not filled."),
}  # fmt: skip

RULES_WITH_FLOOR: Final = ("daily_loss", "max_drawdown")
EVENTS: Final = {
    "start": "Once, before the first event.",
    "stop": "Once, after the last event.",
    "tick": 'On each accepted quote: `on tick` or `on tick("GBPUSD")`.',
    "bar": 'When a bar has closed: `on bar(1m)` or `on bar("GBPUSD", 1m)`.',
    "fill": "After each fill of the strategy's orders.",
    "timer": 'Every so often, `on timer(5m)`, or at a time of day, `on timer("16:55")`.',
}  # fmt: skip
