"""Tokens to the syntax tree, by the LALR tables; goes on after an error to find further ones."""

from collections.abc import Iterable
from typing import Any, Final

from quantlab.qls.actions import ACTIONS, OF_ONE
from quantlab.qls.diagnostics import Findings, did_you_mean
from quantlab.qls.lexer import END, WORDS, Token
from quantlab.qls.tables import RULES, STATES
from quantlab.qls.tree import Item

_SPOKEN: Final = {
    "NL": "the end of the line", "INDENT": "an indented block", "DEDENT": "the end of the block",
    END: "the end of the source", "NAME": "a name", "INT": "a number", "STRING": "a text",
    "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "COMMA": ",", "ASSIGN": "=",
    "REASSIGN": ":=", "BINARY": "an operator", "QUESTION": "?", "COLON": ":", "RANGE": "..",
    "ARROW": "=>",
}  # fmt: skip
_VALUES: Final = frozenset(
    ("INT", "FLOAT", "STRING", "DURATION", "NAME", "LPAR", "LSQB", "NOT", "MINUS")
)
_LAYOUT: Final = frozenset(("NL", "INDENT", "DEDENT"))
# What cannot stand where a bracket is open.
_INSIDE: Final = {"LPAR": ("RSQB", "NL", "ARROW"), "LSQB": ("RPAR", "NL", "ARROW", "ASSIGN")}
_CONTINUED: Final = frozenset(("BINARY", "MINUS", "QUESTION", "LSQB"))

_HINTS: Final = {
    "INDENT": "Only the lines under `on`, `def`, `if`, `else`, `for` and `switch` are indented.",
    "COLON": "A block begins on the next line, without a colon.",
    "case": "Write the arms of a switch as value => what, the default as => what.",
    "while": "Loops have fixed bounds: for i in 0..9.",
    "to": "Write the bounds of a loop as low..high.",
    "elif": "Write `else if`.",
    "elseif": "Write `else if`.",
    "function": "Write def name(x).",
    "fn": "Write def name(x).",
}


def _tables() -> tuple[list[dict[str, int]], list[tuple[str, int, Any]], list[str]]:
    states: list[dict[str, int]] = []
    lines = STATES.strip().split("\n")
    symbols = [""] * len(lines)
    for line in lines:
        moves: dict[str, int] = {}
        for part in line.split(" "):
            names, target = part.split(">")
            for name in names.split(","):
                moves[name] = int(target)
                if int(target) >= 0:
                    symbols[int(target)] = name
        states.append(moves)
    rules = []
    for line in RULES.strip().split("\n"):
        name, size, action = line.split(" ")
        actions = ACTIONS if int(size) != 1 else OF_ONE
        rules.append((name, int(size), actions.get(action)))
    return states, rules, symbols


_STATES, _RULES, _SYMBOLS = _tables()
# Where a statement may begin: after those of its block, or after its opening.
_RESUMED: Final = frozenset(
    place
    for place, symbol in enumerate(_SYMBOLS)
    if symbol in {"items", "statements", "arms", "INDENT"}
)


def parse(tokens: list[Token], findings: Findings) -> tuple[Item, ...]:
    """Return the items of a source; those with errors in them are reported and left out."""
    states: list[int] = [0]
    values: list[Any] = []
    place, count = 0, len(tokens)
    tables, rules = _STATES, _RULES
    while place < count:
        token = tokens[place]
        target = tables[states[-1]].get(token[0])
        if target is None:
            place = _recover(tokens, place, states, values, findings)
        elif target >= 0:
            states.append(target)
            values.append(token)
            place += 1
        else:
            name, size, action = rules[-1 - target]
            if size == 1:
                if name == "start":
                    return tuple(values[-1])
                if action is not None:
                    values[-1] = action(values[-1], findings)
                states[-1] = tables[states[-2]][name]
                continue
            if size:
                parts = values[-size:]
                del states[-size:]
                del values[-size:]
                values.append(action(parts, findings))
            else:
                values.append(())
            states.append(tables[states[-1]][name])
    return _items(states, values)


def _items(states: list[int], values: list[Any]) -> tuple[Item, ...]:
    found = [v for s, v in zip(states[1:], values, strict=True) if _SYMBOLS[s] == "items"]
    return tuple(found[0]) if found else ()


def _recover(
    tokens: list[Token], place: int, states: list[int], values: list[Any], findings: Findings
) -> int:
    """Report what stands wrong, skip its line and the block under it, and return where to go on."""
    _report(tokens, place, _STATES[states[-1]], findings)
    place = _after_statement(tokens, place)
    last = len(tokens) - 1
    while place <= last:
        top = states[-1]
        if tokens[place][0] in _STATES[top] and (top in _RESUMED or len(states) == 1):
            return place
        if len(states) == 1 or _SYMBOLS[top] == "items":
            place += 1
        else:
            if _SYMBOLS[top] == "INDENT":
                place = _after_rest(tokens, place)
            states.pop()
            values.pop()
    return place


def _after_rest(tokens: list[Token], place: int) -> int:
    """Return where a block has ended of which nothing could be read."""
    depth = 1
    while depth > 0 and place < len(tokens) - 1:
        kind = tokens[place][0]
        depth += (kind == "INDENT") - (kind == "DEDENT")
        place += 1
    return place


def _after_statement(tokens: list[Token], place: int) -> int:
    """Return where the next statement begins: blocks and branches of the broken one are skipped."""
    last = len(tokens) - 1
    while place < last and tokens[place][0] not in {"NL", "INDENT", "DEDENT"}:
        place += 1
    while place < last and tokens[place][0] == "NL":
        place += 1
    if tokens[place][0] == "INDENT":
        place = _after_block(tokens, place)
    while place < last and tokens[place][0] == "ELSE":
        place = _after_else(tokens, place)
    return place


def _after_else(tokens: list[Token], place: int) -> int:
    while tokens[place][0] not in {"NL", END}:
        place += 1
    if tokens[place][0] == "NL":
        place += 1
    return _after_block(tokens, place) if tokens[place][0] == "INDENT" else place


def _after_block(tokens: list[Token], place: int) -> int:
    depth = 0
    while place < len(tokens) - 1:
        kind = tokens[place][0]
        depth += (kind == "INDENT") - (kind == "DEDENT")
        place += 1
        if depth == 0:
            break
    return place


def _report(tokens: list[Token], place: int, moves: dict[str, int], findings: Findings) -> None:
    kind, text, at = tokens[place]
    found = f"`{text}`" if text else _SPOKEN.get(kind, kind)
    line = _line_before(tokens, place)
    wanted = {name for name in moves if name.isupper() or name == END}
    expected = _expected(wanted - _senseless(line) or wanted)
    findings.error(
        at, "syntax", f"Expected {expected}, found {found}.", _hint(tokens, place, line), len(text)
    )


def _line_before(tokens: list[Token], place: int) -> list[Token]:
    """Return what stands on the line of a token before it."""
    begin = place
    while begin and tokens[begin - 1][0] not in _LAYOUT:
        begin -= 1
    return tokens[begin:place]


def _senseless(line: list[Token]) -> set[str]:
    """Return what the tables would take after a line, and what yet can mean nothing there."""
    kinds = [kind for kind, _, _ in line]
    opened: list[str] = []
    for kind in kinds:
        if kind in _INSIDE:
            opened.append(kind)
        elif kind in {"RPAR", "RSQB"} and opened:
            opened.pop()
    found = set(_INSIDE[opened[-1]] if opened else ("RPAR", "RSQB", "COMMA"))
    found |= set() if "QUESTION" in kinds else {"COLON"}
    found |= set() if "FOR" in kinds else {"RANGE"}
    return found


def _expected(names: Iterable[str]) -> str:
    wanted = set(names)
    spoken: list[str] = []
    if wanted >= _VALUES:
        wanted -= _VALUES
        wanted -= {"IF", "FOR", "SWITCH", "RETURN", "RING", "VAR", "INPUT", "DEF", "ON", "STRATEGY"}
        spoken.append("a value")
    elif len(wanted - _CONTINUED) > 0:
        wanted -= _CONTINUED
    spoken += sorted(_SPOKEN.get(name, f"`{name.lower()}`") for name in wanted)
    return " or ".join((", ".join(spoken[:-1]), spoken[-1])) if spoken[1:] else "".join(spoken)


def _hint(tokens: list[Token], place: int, line: list[Token]) -> str:
    kind, text, _ = tokens[place]
    before = tokens[place - 1] if place else ("", "", 0)
    asks = any(one in {"IF", "QUESTION"} for one, _, _ in line)
    if kind == "ASSIGN" and (before[0] == "ASSIGN" or asks):
        return "Compare with ==."
    if len(line) == 1 and before[0] == "NAME" and kind in _VALUES:
        return _HINTS.get(before[1]) or did_you_mean(before[1], WORDS)
    return _HINTS.get(kind) or _HINTS.get(before[1]) or _HINTS.get(text, "")
