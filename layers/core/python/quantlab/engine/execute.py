"""One command of one account: guards in order of precedence, then the change."""

from collections.abc import Callable
from typing import Any

from quantlab.engine import commands, corrections, life
from quantlab.engine.changing import cancel, cancel_all, modify
from quantlab.engine.closing import close_or_reverse, flat, reject_order
from quantlab.engine.commands import Command, Outcome
from quantlab.engine.context import Context
from quantlab.engine.draft import Draft
from quantlab.engine.enforcement import (
    enforce_equity,
    lift_lock,
    liquidate,
    roll_if_over,
    seen_by_watch,
    take_over_peak,
)
from quantlab.engine.filling import fill_at_once, new_order
from quantlab.engine.guard import guard
from quantlab.engine.orders import cancel_working, expire_due
from quantlab.engine.placing import place_orders
from quantlab.engine.pretrade import report_stop
from quantlab.engine.rejections import Reason, Rejection
from quantlab.engine.sizing import closing_intent
from quantlab.engine.stop_out import stop_out
from quantlab.engine.trading import plan_fill
from quantlab.engine.working import attempt_due, observe_trails, work_order
from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account, Position
from quantlab.market.quote import BUY, Quote

TAKE_PROFIT = "take_profit"


def execute(account: Account, command: Command, context: Context) -> Outcome:
    """Carry out a command: the new account with its events, or the rejection that kept it as is.

    Raises InvariantBroken for a command nobody defined: that is a bug and goes to the dead letters.
    """
    check(command.account_id == account.account_id, "a command of another account")
    handler = _HANDLERS.get(command.name)
    check(handler is not None, f"no such command: {command.name}")
    draft = Draft(account, command, context)
    if command.source_kind == "watch":
        take_over_peak(draft)
    roll_if_over(draft)
    expire_due(draft, _moment_of(command, context))
    if draft.account.day is not account.day:
        life.follow_turns(draft, account)
    if command.source_kind == "bot":
        _emit_received(draft)
    before = draft.account
    rejection = handler(draft, command.payload) if handler else None
    if account.positions:
        lift_lock(draft)
    life.follow_turns(draft, before)
    draft.outcome.rejection = rejection
    if command.source_kind == "bot":
        _emit_answer(draft, rejection)
    draft.outcome.touched_status = _standing(draft.account) != _standing(account)
    return draft.finish()


def _standing(account: Account) -> tuple[str, str]:
    """Return what the accepting path keeps of an account."""
    return account.status, account.config_version


def _moment_of(command: Command, context: Context) -> int:
    """Return when a command holds: a quote that reached an order did so when it was reported."""
    return command.received_ns if command.name == commands.WORK_ORDER else context.now_ns


def _emit_received(draft: Draft) -> None:
    command, payload = draft.command, draft.command.payload
    received = format_rfc3339(command.received_ns)
    known = {"signalId": command.signal_id, "botId": command.source_id}
    draft.emit(
        "webhook.received",
        {**known, "receivedAt": received, "signal": dict(payload)},
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
    """Do what a signal asks; a refused order is recorded with its reason."""
    handler = _ACTIONS.get(payload["action"])
    if handler is not None:
        return handler(draft, payload)
    action = payload["action"]
    refused = guard(
        draft,
        payload["symbol"],
        reducing=action == "close" or payload.get("reduceOnly", False),
        closing=action == "close",
    )
    if isinstance(refused, Rejection):
        return reject_order(draft, payload, refused)
    if action in ("buy", "sell"):
        rejection = place_orders(draft, refused, payload)
    else:
        rejection = close_or_reverse(draft, refused, payload)
    if rejection is not None:
        return reject_order(draft, payload, rejection)
    attempt_due(draft)
    enforce_equity(draft)
    return None


def _protect(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Close a position whose stop-loss or take-profit was touched, if that still holds.

    A stop that was touched fills at the first good quote after it; a take-profit is a limit and
    is filled only while the quote is at its price or better.
    """
    position = draft.account.positions.get(payload.get("ticket", payload["symbol"]))
    if position is None or position.opened_seq != payload["openedSeq"]:
        return Rejection(Reason.POSITION_CHANGED, "the position is gone or is another one")
    instrument = draft.context.market.catalog.instruments[position.symbol]
    quote = draft.context.market.usable(instrument)
    if isinstance(quote, Rejection):
        return quote
    refused = _not_protected(position, quote, payload)
    if refused is not None:
        return refused
    intent = closing_intent(position, instrument, quote, None)
    if isinstance(intent, Rejection):
        return intent
    limit_ticks = position.take_profit_ticks if payload["kind"] == TAKE_PROFIT else None
    order = new_order(draft, intent, limit_ticks)
    planned = plan_fill(draft, order, draft.context.market)
    if isinstance(planned, Rejection):
        return planned
    draft.emit("order.triggered", {key: payload[key] for key in sorted(payload)})
    rejection = fill_at_once(draft, order, payload["kind"])
    if rejection is None:
        report_stop(draft, instrument)
        enforce_equity(draft)
    return rejection


def _not_protected(position: Position, quote: Quote, payload: dict[str, Any]) -> Rejection | None:
    """Say why a protective price does not hold any more."""
    if payload["kind"] != TAKE_PROFIT:
        if position.stop_loss_ticks == payload["priceTicks"]:
            return None
        return Rejection(Reason.POSITION_CHANGED, "the stop-loss has been moved")
    target, side = position.take_profit_ticks, -BUY if position.size_steps > 0 else BUY
    if target is None or target != payload["priceTicks"]:
        return Rejection(Reason.POSITION_CHANGED, "the take-profit has been moved")
    if side * (quote.price_for(side) - target) > 0:
        return Rejection(Reason.NOT_TRIGGERED, "the quote is not at the take-profit any more")
    return None


def _check_rules(draft: Draft, _payload: dict[str, Any]) -> Rejection | None:
    """Judge the account now, and before that at the quotes account_watch saw a floor broken at.

    What it saw counts even when the price has come back since.
    """
    seen = seen_by_watch(draft)
    if seen is not None:
        enforce_equity(draft, seen)
    equity_minor = enforce_equity(draft)
    known = None if equity_minor is None else draft.money(equity_minor)
    draft.outcome.result = {"equity": known}
    return None


def _observe_equity(draft: Draft, _payload: dict[str, Any]) -> Rejection | None:
    """Judge the account by the peak that every command of account_watch may bring."""
    enforce_equity(draft)
    return None


def _liquidate(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status not in ("disabled", "locked"):
        return Rejection(Reason.POSITION_CHANGED, "the account trades again")
    if not draft.account.positions:
        return Rejection(Reason.NO_POSITION, "no open position")
    waiting = liquidate(draft, payload["cause"], payload.get("symbol"))
    draft.outcome.result = {"waiting": list(waiting)}
    return None


def _nothing_more(_draft: Draft, _payload: dict[str, Any]) -> Rejection | None:
    """Whatever the command, an ended day is rolled and what is due expires before it."""
    return None


def _disable(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    if draft.account.status != "disabled":
        draft.change(status="disabled", status_reason=payload["reason"])
        draft.emit("account.disabled", {"reason": payload["reason"], "by": payload["by"]})
        cancel_working(draft, "account_disabled")
    liquidate(draft, "operator")
    return None


def _close(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    if draft.account.status == "closed":
        return Rejection(Reason.ACCOUNT_CLOSED, "the account is closed")
    waiting = liquidate(draft, "operator")
    if waiting:
        return Rejection(Reason.QUOTE_STALE, "no good quote to close all of " + ", ".join(waiting))
    cancel_working(draft, "account_closed")
    draft.change(status="closed", status_reason=payload["reason"])
    closed = {"status": "closed", "reason": payload["reason"], "by": payload["by"]}
    draft.emit("account.updated", closed)
    return None


def _move_config(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Move the account to another configuration and judge it by that at once."""
    rejection = life.move_config(draft, payload)
    if rejection is None:
        enforce_equity(draft)
    return rejection


def _correct(draft: Draft, payload: dict[str, Any]) -> Rejection | None:
    """Compensate an account for bad ticks and judge it by what it is then."""
    rejection = corrections.correct(draft, payload)
    if rejection is None:
        enforce_equity(draft)
    return rejection


_ACTIONS: dict[str, Callable[[Draft, dict[str, Any]], Rejection | None]] = {
    "flat": flat,
    "cancel": cancel,
    "cancel_all": cancel_all,
    "modify": modify,
}


_HANDLERS: dict[str, Callable[[Draft, dict[str, Any]], Rejection | None]] = {
    commands.TRADE: _trade,
    commands.PROTECT: _protect,
    commands.WORK_ORDER: work_order,
    commands.EXPIRE_ORDERS: _nothing_more,
    commands.OBSERVE_TRAILS: observe_trails,
    commands.CHECK_RULES: _check_rules,
    commands.OBSERVE_EQUITY: _observe_equity,
    commands.LIQUIDATE: _liquidate,
    commands.STOP_OUT: stop_out,
    commands.ROLL_DAY: _nothing_more,
    commands.DISABLE: _disable,
    commands.ENABLE: life.enable,
    commands.CLOSE: _close,
    commands.NOTE: life.note,
    commands.PAY_OUT: life.pay_out,
    commands.RESET: life.reset,
    commands.CORRECT: _correct,
    commands.OVERRIDE: corrections.override,
    commands.MOVE_CONFIG: _move_config,
}
