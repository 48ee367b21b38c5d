"""Where everything stands in a run's one block of 64-bit words.

The block begins with the account's words; sections follow it at offsets that are words themselves.
Prices are ticks, sizes steps, amounts minor units, instants nanoseconds.
"""

from typing import Final

# fmt: off
# The account, its day, the moment, and where the sections begin.
(
    STATUS, END, NOW, SEQ, NEXT, FORCE, PENDING,
    BALANCE, CARRY, MARK, INITIAL, BASIS,
    DAY_START, DAY_RESET, START_BALANCE, START_EQUITY, REALISED, DAY_COSTS, TRADED,
    DAYS_AT, DAYS, DAY,
    RULES_AT, RULES, RAISED, BREACH,
    EQUITY, PEAK, DRAWDOWN, COSTS,
    SYMBOLS_AT, SYMBOLS, HELD, WORKING, EXPIRY, NEXT_ORDER, PLACED, REJECTED, CANCELLED,
    STREAMS_AT, STREAMS, TIMERS_AT, TIMERS, MAP_AT,
    FILLS_AT, FILLS, FILLS_SEEN, ENDS_AT, ENDS, ROLLS_AT, ROLLS, SAMPLES_AT, SAMPLES,
    SAMPLE_NEXT, SAMPLE_EVERY, FILLS_TOTAL, ENDS_TOTAL,
    RESET_EQUITY, RESET_KNOWN, OVERDUE,
    FILL_OWNER, FILL_SIDE, FILL_STEPS, FILL_TICKS, FILL_PROFIT, FILL_LEFT, FILL_SYMBOL,
    SCRATCH_AT, SCRATCH, ROUNDS, MONEY_DIV, OFFSETS_AT, OFFSETS, OFFSET, UTC_OFFSET, TRAP,
    LAST_REASON, ZONE_NEXT, BOOKS_AT, DRAW, CONVERSIONS, STOP_OUT, STOP_BELOW, SWAPPED,
    SWAPS, NIGHTS_AT,
    TERMS_AT, TERMS, GATES_AT, GATES, GATE_NEXT, TABLES_AT,
    DAY_ORDERS, DAY_TRADES, DAY_NANO, LAST_ORDER, ASKS, HEARS_FILLS,
    LOG_ROWS, ROWS_MOST, TOLD_FILLS, TOLD_ENDS, LEGS_AT, LEGS, ACCOUNT_WORDS,
) = range(105)

# What of them a trace has: all before the logs but places, which no result depends on.
TRACED: Final = tuple(
    word
    for word in range(FILLS_AT)
    if word not in (DAYS_AT, RULES_AT, SYMBOLS_AT, STREAMS_AT, TIMERS_AT, MAP_AT)
)

# One symbol. The levels of equity are merged with those of orders in the first four.
(
    BID, ASK, TS, QUOTE_SEQ, BID_SIZE, ASK_SIZE,
    LOW_BID, HIGH_BID, LOW_ASK, HIGH_ASK,
    SIZE, COST, VALUE, OPENED,
    UNIT_NUM, UNIT_DEN, MAX_AGE, MIN_STEPS, MAX_STEPS,
    SIZE_RULE, SLIPPAGE, AMOUNT, REFERENCE, LATENCY,
    FEE_NUM, FEE_DEN, FEE_PPM, FEE_LEAST,
    ORDERS, ORDERS_AT, LIQUIDATED, HAS_STREAMS,
    PRICE_MUL, PRICE_DIV, STEP_MUL, STEP_DIV, OFFERED,
    EQ_LOW_BID, EQ_HIGH_BID, EQ_LOW_ASK, EQ_HIGH_ASK, WORST_BID, WORST_ASK,
    TAKEN_OF, TAKEN_BUY, TAKEN_SELL,
    CONVERTED_BY, CONVERT_MULTIPLIES, CONVERT_NUM, CONVERT_DEN,
    LEVERAGE_NUM, LEVERAGE_DEN, LONG_NUM, LONG_DEN, SHORT_NUM, SHORT_DEN, STOPPED,
    NANO_NUM, NANO_DEN, WORTH_LIMIT, SYMBOL_WORDS,
) = range(61)

# One leg of a hedging account, counted from where a symbol's words would begin that had its size,
# cost, value and opening in the same places: also where its symbol's begin, who opened it.
(LEG_OF, LEG_TICKET, LEG_CALLED, LEG_END) = range(OPENED + 1, OPENED + 5)
LEG_WORDS: Final = LEG_END - SIZE

# One order.
(
    ID, OWNER, TYPE, SIDE, STATE, STEPS, FILLED, LIMIT, TRIGGER, TRAIL, TRAIL_PPM, PEAK_TICKS,
    TRAILS, TIME, EXPIRES, REDUCE, POST, SINCE, ACTIVE, GROUP, GROUP_KIND, PARENT, RAW_FEE, CREATED,
    DUE, CALLED, REASON, TAG, PARENT_STEPS, TICKET, ORDER_WORDS,
) = range(31)

# One equity rule: what `rules.floors.rule_row` gives, what it does, and when it broke.
(
    RULE_KIND, RULE_CODE, RULE_KEEP, RULE_LOSS, RULE_COMPARATOR, RULE_LOCK, RULE_LEAST,
    RULE_SPARES_COSTS, RULE_ACTION, RULE_BROKEN, RULE_BROKEN_AT, RULE_BROKEN_EQUITY,
    RULE_BROKEN_FLOOR, RULE_WORDS,
) = range(14)

# One rule that needs no equity: its kind, what it does, its numbers, and when it broke.
(
    TERM_KIND, TERM_ACTION, TERM_REASON, TERM_REDUCING, TERM_GATE, TERM_TABLE, TERM_STEPS,
    TERM_COUNT, TERM_MOST, TERM_TRADES, TERM_NANO, TERM_OF_BALANCE, TERM_STOPS,
    TERM_BROKEN, TERM_BROKEN_AT, TERM_WORDS,
) = range(16)

# Kinds of those rules: on the moment of an order, on what may be held, on an order of known size.
(
    HOURS, ALLOWED, HOLDING, IDLE, NEWS, COUNTS, SCALED, ORDER_LOTS, POSITION_LOTS, ACCOUNT_LOTS,
    PROTECTED, OPPOSED,
) = range(12)

# Bits of ASKS: what a rule of the account asks of stops.
PROTECTING: Final = 1
STOPS_COUNT: Final = 2

# One gate: whether it is open, and the instants at which that turns.
(GATE_OPEN, GATE_INDEX, GATE_COUNT, GATE_AT, GATE_WORDS) = range(5)

# One stream of bars: the open bar, then the last closed one.
(
    STREAM_SYMBOL, PERIOD, BAR_END, OPEN, HIGH, LOW, CLOSE, VOLUME, BAR_START,
    LAST_OPEN, LAST_HIGH, LAST_LOW, LAST_CLOSE, LAST_VOLUME, LAST_START, INDEX, BAR_DUE,
    STREAM_WORDS,
) = range(18)

# One timer: every PERIOD, or at each of its instants.
(TIMER_NEXT, TIMER_PERIOD, TIMER_AT, TIMER_COUNT, TIMER_INDEX, TIMER_DUE, TIMER_WORDS) = range(7)

# One fill of the log. Its rate is that of a loss, 0 where the run converts nothing.
(
    F_NS, F_SEQ, F_ORDER, F_OWNER, F_SYMBOL, F_SIDE, F_STEPS, F_TICKS, F_SLIPPAGE, F_PROFIT, F_FEE,
    F_BALANCE, F_CARRY, F_POSITION, F_CAUSE, F_OPENED, F_CLOSED, F_COST, F_LEFT,
    F_RATE_NUM, F_RATE_DEN, F_TICKET, FILL_WORDS,
) = range(23)

# One order that has ended.
(
    E_ID, E_OWNER, E_PARENT, E_SYMBOL, E_SIDE, E_TYPE, E_TIME, E_STEPS, E_FILLED, E_LIMIT,
    E_TRIGGER, E_CREATED, E_ENDED, E_STATE, E_REASON, E_TAG, END_WORDS,
) = range(17)

# One finished day: reset, balance and equity at its start and its end, result, whether traded.
(D_START, D_RESET, D_BALANCE, D_EQUITY, D_REALISED, D_TRADED, D_COSTS, ROLL_WORDS) = range(8)

# One sample of the account.
(S_NS, S_BALANCE, S_EQUITY, S_MARK, S_BELOW, S_HELD, SAMPLE_WORDS) = range(7)

# What a strategy hands over, in words: see `quantlab.qls.ir`.
OUT_ORDERS: Final = 0
OUT_PLACED: Final = 2
OUT_FIRST: Final = 8
# fmt: on

# One quote of the data.
(Q_NS, Q_BID, Q_ASK, Q_BID_SIZE, Q_ASK_SIZE, Q_SYMBOL, QUOTE_WORDS) = range(7)

# Events of a strategy.
(START_EVENT, STOP_EVENT, BAR_EVENT, FILL_EVENT, TIMER_EVENT) = range(5)

ORDERS_MAX: Final = 200
POSITIONS_MAX: Final = 200
# An order is taken while fewer are open than that; then those that wait may open some more.
LEGS_MAX: Final = POSITIONS_MAX + ORDERS_MAX
BOOK_MAX: Final = 2 * ORDERS_MAX
# A log is emptied once it has so many rows. FEW stay in a cache, MANY are most often all there are.
FEW_ROWS: Final = 1 << 11
MANY_ROWS: Final = 1 << 16
# What a strategy does on being told of its fills may add so many.
EVENT_ROWS: Final = 1 << 13
ROUNDS_MAX: Final = 64
# More orders than that cannot end by one event: all that work, and all it places.
EVENT_ENDS: Final = 2048
SCRATCH_MAX: Final = 64
SAMPLES_MAX: Final = 4096

ACTIVE_STATUS: Final = 0
LOCKED: Final = 1
DISABLED: Final = 2

# Why a run has come to its end, or pauses.
RUNNING: Final = 0
BREACHED: Final = 1
TRAPPED: Final = 2
ENDLESS: Final = 3
ROOM: Final = 4

# Bits of FORCE: each asks for a look at every tick.
UNSURE: Final = 1
ROLLED: Final = 2
LIQUIDATING: Final = 4
CONVERTING: Final = 8
OVERSTAYING: Final = 16
HEDGED: Final = 32

# States of an order, `quantlab.engine.lifecycle` by number.
GONE: Final = 0
PENDING_PARENT: Final = 1
WORKS: Final = 2
TRIGGERED: Final = 3
PARTIAL: Final = 4
FULL: Final = 5
CANCELLED_STATE: Final = 6
EXPIRED: Final = 7
REFUSED: Final = 8
STATE_NAMES: Final = (
    "", "pending_parent", "working", "triggered", "partially_filled", "filled", "cancelled",
    "expired", "rejected",
)  # fmt: skip

# Types and times of orders: indexes of qls.ir.ORDER_TYPES and TIMES.
(MARKET, LIMIT_TYPE, STOP, STOP_LIMIT, TRAILING, TOUCH, TOUCH_LIMIT) = range(7)
(DEFAULT, GTC, DAY_TIME, GTD, IOC, FOK) = range(6)
(OCO, OUO) = (1, 2)

# Actions of a rule, the gravest last.
(WARN, REJECT_ORDERS, FLATTEN_ALL, LOCK_UNTIL_RESET, DISABLE) = range(5)
NO_ACTION: Final = -1

REASONS: Final = (
    "", "not_filled", "oco", "ouo", "exit_filled", "parent_ended", "position_closed", "requested",
    "flattened", "account_disabled", "account_locked", "time", "no_displayed_size",
    "position_too_large", "quantity_off_step", "quantity_too_small", "quantity_too_large",
    "price_off_tick", "trigger_reached", "would_trade", "invalid_stop_loss", "invalid_take_profit",
    "would_not_reduce", "no_position", "too_many_orders", "no_quote", "instrument_allowlist",
    "daily_loss", "expired_already", "unknown_parent", "group_refused", "run_ended",
    "no_conversion_quote", "margin_insufficient", "margin_stop_out", "trading_hours", "flat_by",
    "weekend_holding", "inactivity", "news_window", "order_limits", "scaling_plan",
    "position_size", "not_of_order_type", "already_triggered", "order_pending",
    "stop_loss_required", "ticket_needed", "netting_only", "too_many_positions", "hedging",
)  # fmt: skip
(
    NO_REASON, NOT_FILLED, BY_OCO, BY_OUO, EXIT_FILLED, PARENT_ENDED, POSITION_CLOSED, REQUESTED,
    FLATTENED, ACCOUNT_DISABLED, ACCOUNT_LOCKED, BY_TIME, NO_DISPLAYED_SIZE, POSITION_TOO_LARGE,
    QUANTITY_OFF_STEP, QUANTITY_TOO_SMALL, QUANTITY_TOO_LARGE, PRICE_OFF_TICK, TRIGGER_REACHED,
    WOULD_TRADE, INVALID_STOP_LOSS, INVALID_TAKE_PROFIT, WOULD_NOT_REDUCE, NO_POSITION,
    TOO_MANY_ORDERS, NO_QUOTE, INSTRUMENT_ALLOWLIST, BLOCKED, EXPIRED_ALREADY, UNKNOWN_PARENT,
    GROUP_REFUSED, RUN_ENDED, NO_CONVERSION, MARGIN_INSUFFICIENT, MARGIN_STOP_OUT,
    TRADING_HOURS, FLAT_BY, WEEKEND_HOLDING, INACTIVITY, NEWS_WINDOW, ORDER_LIMITS, SCALING_PLAN,
    POSITION_SIZE, NOT_OF_ORDER_TYPE, ALREADY_TRIGGERED, ORDER_PENDING, STOP_LOSS_REQUIRED,
    TICKET_NEEDED, NETTING_ONLY, TOO_MANY_POSITIONS, OPPOSES_LEG,
) = range(51)  # fmt: skip

# Why a fill came about.
CAUSES: Final = ("signal", "working", "rule", "margin_stop_out")
(BY_SIGNAL, BY_QUOTE, BY_RULE, BY_STOP_OUT) = range(4)

NEVER_LOW: Final = -(1 << 62)
NO_TICKS: Final = -(1 << 60)
NEVER_HIGH: Final = 1 << 62
