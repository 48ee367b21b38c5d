"""Makes `quantlab/qls/tables.py` from `grammar.lark`: `python -m quantlab_server.qls_tables`.

lark reads the grammar and finds its LALR(1) tables, once, at development time; the compiler then
needs neither lark nor the grammar file, and starts at once.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from lark import Lark
from lark.parsers.lalr_analysis import Shift

import quantlab.qls

FOLDER = Path(quantlab.qls.__file__).parent
HEAD = '''"""The LALR(1) tables of grammar.lark; made by `python -m quantlab_server.qls_tables`."""
# ruff: noqa: E501

from typing import Final

'''
LAYOUT = ("NL", "INDENT", "DEDENT")


def rendered() -> str:
    """Return the text of tables.py for the grammar as it is."""
    grammar = (FOLDER / "grammar.lark").read_text(encoding="utf-8")
    lark: Any = Lark(grammar, parser="lalr", lexer="basic")
    table = lark.parser.parser._parse_table  # noqa: SLF001 - lark has no public way to its tables
    numbers = {rule: number for number, rule in enumerate(lark.rules)}
    rules = [
        f"{rule.origin.name} {len(rule.expansion)} {rule.alias or 'accept'}" for rule in numbers
    ]
    order = _breadth_first(table)
    places = {state: place for place, state in enumerate(order)}
    states = []
    for state in order:
        targets: dict[int, list[str]] = defaultdict(list)
        for symbol, (action, target) in table.states[state].items():
            if symbol == "start":
                continue
            moved = places[target] if action is Shift else -1 - numbers[target]
            targets[moved].append("$END" if symbol == "$END" else symbol)
        states.append(" ".join(f"{','.join(sorted(n))}>{t}" for t, n in sorted(targets.items())))
    return HEAD + "\n".join(
        (
            _block("TERMINALS", [f"{t.name} {_pattern(t)}" for t in _terminals(lark)]),
            _block("RULES", rules),
            _block("STATES", states),
        )
    )


def _breadth_first(table: Any) -> list[int]:
    """Return the states in an order that only the grammar decides."""
    order = [table.start_states["start"]]
    for state in order:
        for symbol, (action, target) in sorted(table.states[state].items()):
            if action is Shift and symbol != "start" and target not in order:
                order.append(target)
    return order


def _terminals(lark: Any) -> list[Any]:
    """Words first in the order of the grammar, so that a longer sign wins over its beginning."""
    return [terminal for terminal in lark.terminals if terminal.name not in LAYOUT]


def _pattern(terminal: Any) -> str:
    kind = "word" if type(terminal.pattern).__name__ == "PatternStr" else "regex"
    value: str = terminal.pattern.value
    return f"{kind} {value}".replace("\n", "\\n")


def _block(name: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f'{name}: Final = r"""\n{body}\n"""\n'


if __name__ == "__main__":
    (FOLDER / "tables.py").write_text(rendered(), encoding="utf-8")
