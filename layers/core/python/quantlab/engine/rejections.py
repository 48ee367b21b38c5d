"""The expected refusals of a command, in order of precedence: the first that holds is given."""

from enum import StrEnum

from quantlab.kernel.records import dataclass


class Reason(StrEnum):
    """Why a command was not carried out; also the slug of its problem document."""

    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_LOCKED = "account_locked"
    OVERRIDE_NEEDED = "override_needed"
    NOT_DISABLED = "not_disabled"
    NOT_FLAT = "not_flat"
    PAYOUT_GATES = "payout_gates"
    TERMS_CHANGED = "terms_changed"
    STILL_IN_BREACH = "still_in_breach"
    NO_SUCH_TYPE = "no_such_type"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    INSTRUMENT_ALLOWLIST = "instrument_allowlist"
    DAILY_LOSS = "daily_loss"
    MAX_DRAWDOWN = "max_drawdown"
    TRADING_HOURS = "trading_hours"
    FLAT_BY = "flat_by"
    WEEKEND_HOLDING = "weekend_holding"
    TOO_MANY_ORDERS = "too_many_orders"
    ORDER_NOT_WORKING = "order_not_working"
    ORDER_PENDING = "order_pending"
    ALREADY_TRIGGERED = "already_triggered"
    ILLEGAL_STEP = "illegal_step"
    NOT_OF_ORDER_TYPE = "not_of_order_type"
    NETTING_ONLY = "netting_only"
    HEDGING_ONLY = "hedging_only"
    TICKET_NEEDED = "ticket_needed"
    TOO_MANY_POSITIONS = "too_many_positions"
    NO_POSITION = "no_position"
    WOULD_NOT_REDUCE = "would_not_reduce"
    POSITION_CHANGED = "position_changed"
    MARKET_CLOSED = "market_closed"
    INSTRUMENT_HALTED = "instrument_halted"
    NO_QUOTE = "no_quote"
    QUOTE_STALE = "quote_stale"
    NO_DISPLAYED_SIZE = "no_displayed_size"
    NO_CONVERSION_QUOTE = "no_conversion_quote"
    NOT_TRIGGERED = "not_triggered"
    EXPIRED_ALREADY = "expired_already"
    PRICE_OFF_TICK = "price_off_tick"
    TRIGGER_REACHED = "trigger_reached"
    WOULD_TRADE = "would_trade"
    INVALID_STOP_LOSS = "invalid_stop_loss"
    INVALID_TAKE_PROFIT = "invalid_take_profit"
    QUANTITY_OFF_STEP = "quantity_off_step"
    QUANTITY_TOO_SMALL = "quantity_too_small"
    QUANTITY_TOO_LARGE = "quantity_too_large"
    NEWS_WINDOW = "news_window"
    POSITION_SIZE = "position_size"
    SCALING_PLAN = "scaling_plan"
    ORDER_LIMITS = "order_limits"
    STOP_LOSS_REQUIRED = "stop_loss_required"
    HEDGING = "hedging"
    COPY_TRADING = "copy_trading"
    POSITION_TOO_LARGE = "position_too_large"
    MARGIN_INSUFFICIENT = "margin_insufficient"


@dataclass(frozen=True, slots=True)
class Rejection:
    """An expected no, with what was expected and what was there, in words."""

    reason: Reason
    detail: str
