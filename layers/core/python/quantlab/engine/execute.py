"""One command of one account: guards in order of precedence, then the change."""

from collections.abc import Callable
from typing import Any

from quantlab.engine import commands
from quantlab.engine.commands import Command, Order, Outcome
from quantlab.engine.context import Context, exposure_id, read_market
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import (
    enforce,
    enforce_equity,
    liquidate,
    roll_if_over,
    take_over_peak,
)
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import Intent, closing_intent, entry_intent
from quantlab.engine.trading import fill_market_order
from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account
from quantlab.market.instrument import Instrument
from quantlab.rules.verdicts import judge_order, order_warnings

_STATUS_REASONS = {
    "closed": Reason.ACCOUNT_CLOSED,
    "disabled": Reason.ACCOUNT_DISABLED,
    "locked": Reason.ACCOUNT_LOCKED,
}


def execute(account: Account, command: Command, context: Context) -> Outcome:
    """Carry out a command: the new account with its events, or the rejection that kept it as is.

    Raises InvariantBroken for a command nobody defined: that is a bug and goes to the dead letters.
    """
    check(command.account_id == account.account_id, "a command of another account")
    handler = _HANDLERS.get(command.name)
    check(handler is not None, f"no such command: {command.name}")
    draft = Draft(account, command, context)
    roll_if_over(draft)
    if command.source_kind == "bot":
        _emit_received(draft)
    rejection = handler(draft, command.payload) if handler else None
    draft.outcome.rejection = rejection
    if command.source_kind == "bot":
        _emit_answer(draft, rejection)
    return draft.finish()


def _emit_received(draft: Draft) -> None:
    command, payload = draft.command, draft.command.payload
    received = format_rfc3339(command.received_ns)
    known = {"signalId": command.signal_id, "botId": command.source_id}
    signal = {key: value for key, value in payload.items() if isinstance(value, str)}
    draft.emit(
        "webhook.received",
        {**known, "receivedAt": received, "signal": signal},
        occurred_ns=command.received_ns,
    )
    draft.emit("webhook.validated", {**known}, occurred_ns=command.received_ns)


def _emit_answer(draft: Draft, rejection: Rejection | None) -> None:
    known = {"signalId": draft.command.signal_id, "botId": draft.command.source_id}
    if rejection is None:
        draft.emit("webhook.trade_executed", {**known, **draft.outcome.result})
        return
    refused = {"reason": str(rejection.reason), "detail": rejection.detail}
    draft.emit("webhook.rejected", {**known, **refused})


def _trade(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if payload["action"] == "flat":
        return _flat(draft, payload.get("symbol"))
    closing = payload["action"] == "close"
    refused = _guard(draft, payload["symbol"], reducing=closing)
    if isinstance(refused, Rejection):
        return _reject_order(draft, payload, refused)
    instrument = refused
    intent = _close_intent(draft, instrument, payload) if closing else None
    if intent is None:
        quote = draft.context.market.usable(instrument)
        intent = (
            quote
            if isinstance(quote, Rejection)
            else entry_intent(
                draft.account,
                draft.context.market,
                instrument,
                quote,
                payload,
                draft.context.fill_model(instrument),
            )
        )
    rejection = intent if isinstance(intent, Rejection) else None
    if isinstance(intent, Intent):
        rejection = fill_market_order(draft, intent, "signal")
    if rejection is not None:
        return _reject_order(draft, payload, rejection)
    enforce_equity(draft)
    return None


def _guard(draft: Draft, ticker: str, *, reducing: bool) -> Instrument | Rejection:
    """Refuse what may not be traded now; a locked account may still make positions smaller."""
    account, context = draft.account, draft.context
    reason = _STATUS_REASONS.get(account.status)
    if account.status != "active" and not (reducing and account.status == "locked"):
        check(reason is not None, f"no such status: {account.status}")
        detail = f"the account is {account.status}: {account.status_reason}"
        return Rejection(reason or Reason.ACCOUNT_DISABLED, detail)
    instrument = context.market.catalog.find(ticker)
    if instrument is None:
        return Rejection(Reason.UNKNOWN_INSTRUMENT, f"no instrument {ticker}")
    if instrument.symbol not in context.instruments and not reducing:
        return Rejection(
            Reason.INSTRUMENT_ALLOWLIST, f"{instrument.symbol} is not offered on this account"
        )
    verdict = judge_order(
        context.profile, account, instrument.symbol, context.now_ns, reducing=reducing
    )
    if verdict is not None:
        enforce(draft, (verdict,))
        reason = _ORDER_RULES.get(verdict.rule, Reason.ACCOUNT_LOCKED)
        return Rejection(reason, verdict.arithmetic)
    warnings = order_warnings(
        context.profile, account, instrument.symbol, context.now_ns, reducing=reducing
    )
    if warnings:
        enforce(draft, warnings)
    return instrument


_ORDER_RULES = {
    "trading_hours": Reason.TRADING_HOURS,
    "instrument_allowlist": Reason.INSTRUMENT_ALLOWLIST,
}


def _close_intent(
    draft: Draft, instrument: Instrument, payload: dict[str, Any]
) -> Intent | Rejection:
    position = draft.account.positions.get(instrument.symbol)
    if position is None:
        return Rejection(Reason.NO_POSITION, f"no open position of {instrument.symbol}")
    quote = draft.context.market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    return closing_intent(position, instrument, quote, payload.get("quantity"))


def _flat(draft: Draft, ticker: str | None) -> Rejection | None:
    """Close every position, or the one named; what has no good quote is named and stays."""
    if ticker is not None:
        return _trade(draft, {"action": "close", "symbol": ticker})
    if not draft.account.positions:
        return Rejection(Reason.NO_POSITION, "no open position")
    waiting = liquidate(draft, "signal")
    if waiting:
        enforce_equity(draft)
        return Rejection(Reason.QUOTE_STALE, "no good quote to close all of " + ", ".join(waiting))
    enforce_equity(draft)
    return None


def _reject_order(draft: Draft, payload: dict[str, Any], rejection: Rejection) -> Rejection:
    """Record an order that was not carried out, with its reason."""
    order_id = draft.derived_id("order")
    seq = draft.emit(
        "order.rejected",
        {
            "orderId": order_id,
            "signalId": draft.command.signal_id,
            "symbol": payload["symbol"],
            "action": payload["action"],
            "reason": str(rejection.reason),
            "detail": rejection.detail,
        },
    )
    draft.outcome.orders.append(
        Order(
            order_id=order_id,
            client_id=payload.get("clientId"),
            symbol=payload["symbol"],
            side=-1 if payload["action"] == "sell" else 1,
            order_type="market",
            size_steps=0,
            filled_steps=0,
            stop_loss_ticks=None,
            take_profit_ticks=None,
            status="rejected",
            reason=str(rejection.reason),
            event_seq=seq,
        )
    )
    return rejection


def _protect(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Close a position whose stop-loss or take-profit was touched, if that still holds.

    A stop that was touched fills at the first good quote after it; a take-profit is a limit and
    is filled only while the quote is at its price or better.
    """
    position = draft.account.positions.get(payload["symbol"])
    if position is None or position.opened_seq != payload["openedSeq"]:
        return Rejection(Reason.POSITION_CHANGED, "the position is gone or is another one")
    instrument = draft.context.market.catalog.instruments[position.symbol]
    quote = draft.context.market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    long = position.size_steps > 0
    exit_ticks = quote.bid_ticks if long else quote.ask_ticks
    if payload["kind"] == "take_profit":
        target = position.take_profit_ticks
        reached = target is not None and (exit_ticks >= target if long else exit_ticks <= target)
        if not reached or target != payload["priceTicks"]:
            return Rejection(Reason.NOT_TRIGGERED, "the quote is not at the take-profit any more")
    elif position.stop_loss_ticks != payload["priceTicks"]:
        return Rejection(Reason.POSITION_CHANGED, "the stop-loss has been moved")
    draft.emit("order.triggered", {key: payload[key] for key in sorted(payload)})
    intent = closing_intent(position, instrument, quote, None)
    rejection = intent if isinstance(intent, Rejection) else None
    if isinstance(intent, Intent):
        rejection = fill_market_order(draft, intent, payload["kind"])
    if rejection is None:
        enforce_equity(draft)
    return rejection


def _check_rules(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Judge the account now, and before that at the quotes account_watch saw a floor broken at.

    What it saw counts while the account still holds what it held then, in the same trading day,
    even when the price has come back since.
    """
    if draft.command.source_kind == "watch":
        peak_minor, day_ns = int(payload["peakMinor"]), int(payload["dayStartedNs"])
        take_over_peak(draft, peak_minor, day_ns, payload["feedSeq"])
        same_day = day_ns == draft.account.day.started_ns
        if same_day and payload["exposureId"] == exposure_id(draft.account):
            enforce_equity(draft, read_market(draft.context.market.catalog, payload["quotes"]))
    equity_minor = enforce_equity(draft)
    known = None if equity_minor is None else draft.money(equity_minor)
    draft.outcome.result = {"equity": known}
    return None


def _observe_equity(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Take over a peak that account_watch saw between commands, with the feed seq it saw it at."""
    equity_minor, day_ns = int(payload["equityMinor"]), int(payload["dayStartedNs"])
    take_over_peak(draft, equity_minor, day_ns, payload["feedSeq"])
    enforce_equity(draft)
    return None


def _liquidate(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status not in ("disabled", "locked"):
        return Rejection(Reason.POSITION_CHANGED, "the account trades again")
    if not draft.account.positions:
        return Rejection(Reason.NO_POSITION, "no open position")
    waiting = liquidate(draft, payload["cause"])
    draft.outcome.result = {"waiting": list(waiting)}
    return None


def _roll_day(_draft: Draft, _payload: dict[str, Any]) -> Rejection | None:
    """Do nothing more: whatever the command, an ended day is rolled and judged before it."""
    return None


def _disable(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if draft.account.status != "disabled":
        draft.change(status="disabled", status_reason=payload["reason"])
        draft.emit("account.disabled", {"reason": payload["reason"], "by": payload["by"]})
    liquidate(draft, "operator")
    return None


def _enable(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    draft.change(status="active", status_reason=None)
    draft.emit("account.updated", {"status": "active", "by": payload["by"]})
    return None


def _close(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    waiting = liquidate(draft, "operator")
    if waiting:
        return Rejection(Reason.QUOTE_STALE, "no good quote to close all of " + ", ".join(waiting))
    draft.change(status="closed", status_reason=payload["reason"])
    closed = {"status": "closed", "reason": payload["reason"], "by": payload["by"]}
    draft.emit("account.updated", closed)
    return None


_HANDLERS: dict[str, Callable[[Draft, dict[str, Any]], Rejection | None]] = {
    commands.TRADE: _trade,
    commands.PROTECT: _protect,
    commands.CHECK_RULES: _check_rules,
    commands.OBSERVE_EQUITY: _observe_equity,
    commands.LIQUIDATE: _liquidate,
    commands.ROLL_DAY: _roll_day,
    commands.DISABLE: _disable,
    commands.ENABLE: _enable,
    commands.CLOSE: _close,
}
