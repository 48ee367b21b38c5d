"""`make bench`: measure, check, compare, and write bench/out. `--quick` while developing."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import reference as references
from bench import table, world
from bench.checks import verified_chains
from bench.machine import durability, machine, versions
from bench.scenarios import QUICK, Plan, find_highest, measured, tradable
from bench.world import ROOT

OUT = ROOT / "bench" / "out"


def main() -> int:
    arguments = _arguments()
    plan = QUICK if arguments.quick else Plan()
    OUT.mkdir(exist_ok=True)
    # Beside the reports, not in the system's temporary folder: that may be memory, where fsync
    # costs nothing.
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=OUT))
    start = time.monotonic()
    try:
        report = _measured(plan, arguments.reference, scratch)
    finally:
        if not arguments.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    report["took_s"] = round(time.monotonic() - start, 1)
    report["verdicts"] = table.verdicts(report)
    path = OUT / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps(report, indent=2), "utf-8")
    table.show(report, Console(width=110))
    print(f"all figures: {path.relative_to(ROOT)}")
    return 0 if all(report["verdicts"].values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs, for development")
    parser.add_argument("--keep", action="store_true", help="keep the state and logs in bench/out")
    parser.add_argument(
        "--reference",
        type=Path,
        default=ROOT.parent / "shared" / "proto" / "pipeline",
        help="folder of the prototype to compare with",
    )
    return parser.parse_args()


def _measured(plan: Plan, folder: Path, scratch: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"plan": asdict(plan)}
    report["machine"] = machine()
    report["reference_absent"] = references.absent(folder)
    report["reference"] = None
    if report["reference_absent"] is None:
        report["reference"] = _reference(plan, folder, scratch / "reference")
    with world.running(scratch / "ours") as running:
        report["versions"] = versions(running)
        report["durability"] = durability(running.superuser_dsn)
        report["symbols"] = symbols = tradable(running)
        _say("ours: warming up")
        measured(running, symbols, plan.steady_rate, 3)
        report["ours"] = ours = _ours(plan, running, symbols)
        _say("ours: walking the audit chains")
        report["chains"] = verified_chains(running)
    runs = [*ours["steady"], ours["sustained"]]
    report["faults"] = table.faults(runs) + [str(one) for one in report["chains"]["broken"]]
    return report


def _ours(plan: Plan, running: world.World, symbols: list[str]) -> dict[str, Any]:
    steady = []
    for number in range(plan.repetitions):
        _say(f"ours: {plan.steady_rate:.0f}/s for {plan.steady_s:.0f} s, run {number + 1}")
        steady.append(measured(running, symbols, plan.steady_rate, plan.steady_s))
    _say(f"ours: {plan.sustained_rate:.0f}/s for {plan.sustained_s:.0f} s")
    sustained = measured(running, symbols, plan.sustained_rate, plan.sustained_s)
    _say("ours: the highest rate")
    highest, tried = find_highest(running, symbols, plan)
    return {"steady": steady, "sustained": sustained, "highest": highest, "tried": tried}


def _reference(plan: Plan, folder: Path, scratch: Path) -> dict[str, Any]:
    scratch.mkdir(parents=True)
    with references.running(folder, scratch) as running:
        steady = []
        for number in range(plan.repetitions):
            _say(f"reference: {plan.steady_rate:.0f}/s for {plan.steady_s:.0f} s, run {number + 1}")
            steady.append(running.at(plan.steady_rate, plan.steady_s))
        _say(f"reference: {plan.sustained_rate:.0f}/s for {plan.sustained_s:.0f} s")
        sustained = running.at(plan.sustained_rate, plan.sustained_s)
        _say("reference: the highest rate")
        highest, tried = running.find(plan.upper, plan.confirm_s)
    return {"steady": steady, "sustained": sustained, "highest": highest, "tried": tried}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
