"""A sweep: which combinations of inputs are run, what is known already, which was best.

Results are kept as lines of FOLDER/results.jsonl, each under the hash of its inputs, in the order
in which combinations were asked for; FOLDER/sweep.json says of what. A sweep that is started again
runs what is missing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from quantlab_edge.backtest import sources_hash
from quantlab_server.backtests.evaluating import Evaluate, Job, Row
from quantlab_server.backtests.given import Bench
from quantlab_server.refusal import Refusal

RESULTS: Final = "results.jsonl"
MANIFEST: Final = "sweep.json"
_KEY_LENGTH: Final = 24


def key_of(inputs: Mapping[str, Any]) -> str:
    """Return the hash of inputs, whatever their order."""
    text = json.dumps(dict(inputs), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]


def manifest_of(bench: Bench, setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results depend on beside the inputs on axes."""
    account = bench.account
    terms = (
        account.currency, account.initial_minor, account.profile.version, account.instruments,
        sorted(account.models.items()), account.trading, sorted(account.offered), account.news,
    )  # fmt: skip
    return {
        "format": 1,
        "sourceHash": bench.program.source_hash,
        "dataDigest": bench.records.digest,
        "engine": sources_hash(),
        "account": hashlib.sha256(repr(terms).encode()).hexdigest(),
        **setup,
    }


class Kept:
    """The results of a sweep by the hash of their inputs, in a folder or in memory alone."""

    def __init__(self, folder: Path | None, manifest: Mapping[str, Any]) -> None:
        self.rows: dict[str, Row] = {}
        self._file = None if folder is None else folder / RESULTS
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        _hold_to(folder / MANIFEST, manifest)
        self._read()

    def _read(self) -> None:
        """Read what is there; a last line that was cut short is taken out and run again."""
        if self._file is None or not self._file.exists():
            return
        content = self._file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.write_bytes(whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self.rows[row["key"]] = row
            except (ValueError, KeyError, TypeError) as error:
                raise Refusal(
                    f"{self._file}, line {number}: expected a result of a sweep, was {line[:60]!r}"
                ) from error

    def add(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Keep rows as they come, and hand them on."""
        for row in rows:
            self.rows[row["key"]] = row
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            yield row


def _hold_to(file: Path, manifest: Mapping[str, Any]) -> None:
    """Write what a folder's results are of, or refuse a folder of others."""
    text = json.dumps(dict(manifest), indent=1) + "\n"
    if not file.exists():
        file.write_text(text, encoding="utf-8")
        return
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refusal(f"{file} cannot be read: {error}") from error
    wanted = json.loads(text)
    other = [name for name in wanted if known.get(name) != wanted[name]]
    if other:
        raise Refusal(
            f"--out: {file.parent} holds results of another sweep: {', '.join(other)} differ; give"
            " another folder"
        )


def run_all(
    combinations: Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any],
    kept: Kept,
    evaluate: Evaluate,
    quotes: int,
    progress: Callable[[int, int], None],
) -> list[Row]:
    """Run the combinations that are not known yet; return the rows of all in their order."""
    keys = [key_of({**fixed, **one}) for one in combinations]
    missing = {
        key: one for key, one in zip(keys, combinations, strict=True) if key not in kept.rows
    }
    known = len(keys) - len(missing)
    progress(known, len(keys))
    jobs = [Job({**fixed, **one}, 0, quotes) for one in missing.values()]
    made = (
        {"key": key, "inputs": dict(one), **row}
        for (key, one), row in zip(missing.items(), evaluate(jobs), strict=True)
    )
    for number, _ in enumerate(kept.add(made), known + 1):
        progress(number, len(keys))
    return [kept.rows[key] for key in keys]


def number_of(row: Row) -> Decimal | None:
    """Return the metric of a row; None where it is undefined."""
    return None if row["value"] is None else Decimal(str(row["value"]))


def ranked(rows: Iterable[Row], *, lowest: bool) -> list[Row]:
    """Return rows, the best first and those without a value last; equals as they were."""

    def place(row: Row) -> tuple[bool, Decimal]:
        number = number_of(row)
        if number is None:
            return True, Decimal(0)
        return False, number if lowest else -number

    return sorted(rows, key=place)
