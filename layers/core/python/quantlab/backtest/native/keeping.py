"""A log of what a strategy shows, behind the block it writes its orders into.

    LOG_USED    rows of the log that are in use
    LOG_LOST    outputs there was no row for

A row is the instant of the event, then the output as `qls.native.abi` lays it out. Only a run that
keeps outputs of a strategy that has some contains any of it.
"""

from typing import Any, Final

import numpy as np

from quantlab.backtest import layout as at
from quantlab.qls.native import abi

LOG_USED: Final = abi.OUT_WORDS
LOG_LOST: Final = LOG_USED + 1
LOG_AT: Final = LOG_USED + 2
ROW_WORDS: Final = 1 + abi.OUTPUT_WORDS
(NS, SITE, COUNT, VALUES) = range(4)
LOG_ROWS: Final = 1 << 16
QUOTES_AT_ONCE: Final = 1 << 10
"""After so many quotes the log is emptied: it has rows for 64 outputs on each of them."""

KEEP: Final = "quantlab_backtest_keep"
TEXT: Final = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @{KEEP}(ptr %m, ptr %out, i64 %outputs) noinline nounwind {{
  %used.at = getelementptr i64, ptr %out, i64 {LOG_USED}
  %used = load i64, ptr %used.at
  %after = add i64 %used, %outputs
  %fits = icmp ule i64 %after, {LOG_ROWS}
  br i1 %fits, label %begin, label %full
full:
  %lost.at = getelementptr i64, ptr %out, i64 {LOG_LOST}
  %lost = load i64, ptr %lost.at
  %more = add i64 %lost, %outputs
  store i64 %more, ptr %lost.at
  ret void
begin:
  %now.at = getelementptr i64, ptr %m, i64 {at.NOW}
  %now = load i64, ptr %now.at
  %log = getelementptr i64, ptr %out, i64 {LOG_AT}
  %first = getelementptr i64, ptr %out, i64 {abi.OUTPUTS_AT}
  br label %row
row:
  %k = phi i64 [ 0, %begin ], [ %next, %row ]
  %place = add i64 %used, %k
  %to.word = mul i64 %place, {ROW_WORDS}
  %to = getelementptr i64, ptr %log, i64 %to.word
  store i64 %now, ptr %to
  %to.output = getelementptr i64, ptr %to, i64 1
  %from.word = mul i64 %k, {abi.OUTPUT_WORDS}
  %from = getelementptr i64, ptr %first, i64 %from.word
  call void @llvm.memcpy.p0.p0.i64(ptr %to.output, ptr %from, i64 {abi.OUTPUT_WORDS * 8}, i1 false)
  %next = add i64 %k, 1
  %whole = icmp eq i64 %next, %outputs
  br i1 %whole, label %done, label %row
done:
  store i64 %after, ptr %used.at
  ret void
}}
"""


def log_words() -> Any:
    """Return the block a strategy writes into, with the log behind it."""
    return np.zeros(LOG_AT + LOG_ROWS * ROW_WORDS, np.int64)


def take_rows(out: Any) -> tuple[Any, int]:
    """Empty the log: return its rows, and how many outputs there was none for."""
    used, lost = int(out[LOG_USED]), int(out[LOG_LOST])
    rows = out[LOG_AT : LOG_AT + used * ROW_WORDS].reshape(-1, ROW_WORDS).copy()
    out[LOG_USED] = out[LOG_LOST] = 0
    return rows, lost
