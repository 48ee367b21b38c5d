"""The library of QLS, written in QLS: each text is compiled into the strategies that call it.

A function stands under two comments: what it is, and its warm-up (`n` for events before the first
value). Names that begin with _ are the library's own. Functions without parameters are values.
"""

from typing import Final

from quantlab.qls.prelude import (
    averages,
    basics,
    clock,
    mathematics,
    oscillators,
    statistics,
    trends,
    volumes,
)

PARTS: Final = (
    ("series", basics.TEXT),
    ("averages", averages.TEXT),
    ("statistics", statistics.TEXT),
    ("oscillators", oscillators.TEXT),
    ("trends and bands", trends.TEXT),
    ("volume", volumes.TEXT),
    ("mathematics", mathematics.TEXT),
    ("time", clock.TEXT),
)
