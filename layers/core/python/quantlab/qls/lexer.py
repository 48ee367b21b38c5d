"""Source text to tokens; line ends and indentation become NL, INDENT and DEDENT."""

import re
from typing import Final, TypeAlias

from quantlab.qls import limits
from quantlab.qls.diagnostics import CONTROLS, Findings, LimitReached
from quantlab.qls.tables import TERMINALS

Token: TypeAlias = tuple[str, str, int]
"""Terminal, text, offset."""

END: Final = "$END"
_CLOSED: Final = {"(": ("RPAR", ")"), "[": ("RSQB", "]")}
_BRACKETS: Final = frozenset(("LPAR", "RPAR", "LSQB", "RSQB"))
_LAYOUT: Final = r"(?:[ ]*(?://[^\n]*)?\r?\n)+[ ]*"
_START: Final = re.compile(r"(?:[ ]*(?://[^\n]*)?\r?\n)*[ ]*")
_FORBIDDEN: Final = re.compile(rf"(?![\t\n\r])[{CONTROLS}]")
_LONG_LINE: Final = re.compile(rf"[^\n]{{{limits.LINE_LENGTH_MAX + 1}}}")


def _master() -> tuple[dict[str, str], re.Pattern[str]]:
    words: dict[str, str] = {}
    regexes, signs = [], []
    for line in TERMINALS.strip().split("\n"):
        name, kind, pattern = line.split(" ", 2)
        if kind == "word" and pattern.isalpha():
            words[pattern] = name
        elif kind == "word":
            signs.append((name, re.escape(pattern)))
        else:
            regexes.append((name, pattern))
    regexes.sort(key=lambda one: one[0] == "NAME")  # the words `and` and `or` come before names
    parts = [f"(?P<NL>{_LAYOUT})", r"(?P<SPACE>[ ]+)"]
    parts += [f"(?P<{name}>{pattern})" for name, pattern in (*regexes, *signs)]
    parts += [r"(?P<COMMENT>//[^\n]*)", r"(?P<BAD>.)"]
    parts[2:2] = [parts.pop(-2)]
    return words, re.compile("|".join(parts), re.DOTALL)


WORDS, MASTER = _master()


def check_text(source: str) -> None:
    """Refuse a source that is too large or holds signs that deceive a reader."""
    if len(source) > limits.SOURCE_BYTES_MAX:
        raise LimitReached(
            0, "SOURCE_BYTES_MAX",
            f"The source has {len(source)} characters; at most {limits.SOURCE_BYTES_MAX} are read.",
        )  # fmt: skip
    long = _LONG_LINE.search(source)
    if long is not None:
        raise LimitReached(
            long.start(), "LINE_LENGTH_MAX",
            f"This line is longer than {limits.LINE_LENGTH_MAX} characters.",
        )  # fmt: skip


def tokens_of(source: str, findings: Findings) -> list[Token]:
    """Return the tokens of a checked text, ending with END; what is no token is reported."""
    for bad in _FORBIDDEN.finditer(source):
        findings.error(
            bad.start(), "forbidden-character",
            f"The invisible or control character U+{ord(bad.group()):04X} is not allowed.",
            "Delete it.", 1,
        )  # fmt: skip
    text = source + "\n"
    start = _START.match(text)
    begin = start.end() if start is not None else 0
    tokens: list[Token] = []
    if begin < len(text):
        _Lines(text, findings, tokens).read(begin)
    tokens.append((END, "", len(source)))
    return tokens


class _Lines:
    """Reads tokens and keeps the indentation."""

    def __init__(self, text: str, findings: Findings, tokens: list[Token]) -> None:
        self.text = text
        self.findings = findings
        self.tokens = tokens
        self.indents = [0]

    def read(self, begin: int) -> None:
        first = begin - (self.text.rfind("\n", 0, begin) + 1)
        self._indent(first, begin)
        append, words = self.tokens.append, WORDS
        opened: list[tuple[str, int]] = []
        for match in MASTER.finditer(self.text, begin):
            kind = match.lastgroup
            if kind in {"SPACE", "COMMENT"}:
                continue
            at = match.start()
            if kind == "NL":
                end = match.end()
                width = end - self.text.rfind("\n", 0, end) - 1
                if opened and not self._is_left_open(opened, width, end):
                    continue
                append(("NL", "", at))
                self._indent(width, end)
                continue
            word = match.group()
            if kind == "NAME":
                append((words.get(word, "NAME"), word, at))
            elif kind == "BAD" or kind is None:
                self._bad(word, at)
            else:
                append((kind, word, at))
                if kind in _BRACKETS:
                    self._bracket(opened, word, at)
        self._count(len(self.text) - 1, 0)

    def _bracket(self, opened: list[tuple[str, int]], sign: str, at: int) -> None:
        if sign in _CLOSED:
            opened.append((sign, at))
        elif opened:
            opened.pop()
        self._count(at, len(opened))

    def _is_left_open(self, opened: list[tuple[str, int]], width: int, end: int) -> bool:
        """Close brackets by force where a line begins that cannot belong into them."""
        text = self.text
        if end < len(text) and (width > self.indents[-1] or text[end] in ")]"):
            return False
        sign, at = opened[-1]
        self.findings.error(
            at, "unclosed", f"The bracket {sign} is not closed.",
            "A line that goes on inside brackets is indented further than its first.", 1,
        )  # fmt: skip
        while opened:
            sign, _ = opened.pop()
            self.tokens.append((*_CLOSED[sign], end - 1))
        return True

    def _indent(self, width: int, at: int) -> None:
        """Open or close blocks for a line that begins after so many spaces."""
        if at >= len(self.text):
            width = 0
        indents = self.indents
        if width > indents[-1]:
            if len(indents) > limits.BLOCKS_MAX:
                raise LimitReached(
                    at, "BLOCKS_MAX", f"Blocks are nested deeper than {limits.BLOCKS_MAX} levels."
                )
            indents.append(width)
            self.tokens.append(("INDENT", "", at))
            return
        while width < indents[-1]:
            indents.pop()
            self.tokens.append(("DEDENT", "", at))
        if width != indents[-1]:
            self.findings.error(
                at, "indentation",
                f"This line begins after {width} spaces, which fits no block around it.",
                f"Indent it by {indents[-1]} spaces.",
            )  # fmt: skip

    def _count(self, at: int, depth: int) -> None:
        if depth > limits.BRACKETS_MAX:
            raise LimitReached(
                at, "BRACKETS_MAX", f"Brackets are nested deeper than {limits.BRACKETS_MAX} levels."
            )
        if len(self.tokens) > limits.TOKENS_MAX:
            raise LimitReached(
                at, "TOKENS_MAX", f"The source has more than {limits.TOKENS_MAX} words and signs."
            )

    def _bad(self, sign: str, at: int) -> None:
        hints = {
            "\t": "Use spaces for indentation.",
            "{": "A block is indented; it has no braces.",
            "}": "A block is indented; it has no braces.",
            ";": "Write one statement on a line.",
            "#": "A comment begins with //.",
            "&": "Write `and`.",
            "|": "Write `or`.",
            "!": "Write `not`.",
            "^": "Write pow(x, y).",
            "'": 'Write texts in double quotes: "text".',
            '"': 'A text ends on its line with " and holds no backslash.',
        }
        shown = "A tab" if sign == "\t" else f"The character {sign!r}"
        if _FORBIDDEN.match(sign):
            return
        self.findings.error(
            at, "character", f"{shown} has no meaning here.", hints.get(sign, ""), 1
        )
