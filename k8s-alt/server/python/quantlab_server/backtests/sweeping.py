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
    """The results of a sweep by the hash of their inputs; keep is given each that is new."""

    def __init__(
        self, rows: Iterable[Row] = (), keep: Callable[[Row], None] = lambda _row: None
    ) -> None:
        self.rows = {row["key"]: row for row in rows}
        self._keep = keep

    def add(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Keep rows as they come, and hand them on."""
        for row in rows:
            self.rows[row["key"]] = row
            self._keep(row)
            yield row


def kept_in(folder: Path, manifest: Mapping[str, Any]) -> Kept:
    """Keep results in a folder, beside those of the same sweep that are there; or raise Refusal."""
    folder.mkdir(parents=True, exist_ok=True)
    hold_to(folder / MANIFEST, manifest)
    results = folder / RESULTS

    def keep(row: Row) -> None:
        with results.open("ab") as file:
            file.write(line_of(row))

    return Kept(_whole_rows(results), keep)


def _whole_rows(results: Path) -> list[Row]:
    """Read what is there; a last line that was cut short is taken out and run again."""
    if not results.exists():
        return []
    content = results.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        results.write_bytes(whole)
    return rows_of(whole, str(results))


def line_of(row: Row) -> bytes:
    """Write a row as a line."""
    return json.dumps(row).encode() + b"\n"


def rows_of(lines: bytes, where: str) -> list[Row]:
    """Read lines of rows, or raise Refusal, which says where they are from."""
    rows = []
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            row = json.loads(line)
            row["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(
                f"{where}, line {number}: expected a result of a sweep, was {line[:60]!r}"
            ) from error
        rows.append(row)
    return rows


def document_of(rows: Sequence[Row], metric: str, seed: int, *, lowest: bool) -> str:
    """Write all results, the best first, as JSON."""
    best = ranked(rows, lowest=lowest)
    document = {"format": 1, "metric": metric, "lowest": lowest, "seed": seed, "rows": best}
    return json.dumps(document, indent=1) + "\n"


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Write what results are of."""
    return json.dumps(dict(manifest), indent=1) + "\n"


def hold_to(file: Path, manifest: Mapping[str, Any]) -> None:
    """Write what a folder's results are of, or refuse a folder of others."""
    text = manifest_text(manifest)
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
