"""Writes the tables of docs/backtest-metrics.md: `python -m quantlab_server.metrics_doc FILE`."""

import sys
from pathlib import Path
from typing import Final

from quantlab.backtest.results.metrics.table import definitions_table

MARK: Final = "<!-- What follows is made by make metrics-doc. -->\n"


def with_tables(document: str) -> str:
    """Return a document with the tables after its mark made anew; ValueError without the mark."""
    head, mark, _ = document.partition(MARK)
    if not mark:
        raise ValueError(f"expected the line {MARK.strip()}, was none")
    return f"{head}{mark}\n{definitions_table()}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
