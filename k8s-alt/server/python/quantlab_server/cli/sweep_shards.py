"""`quantlab sweep split`, `shard`, `merge`, `kubernetes`: a sweep over several machines."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from quantlab_server.backtests import options
from quantlab_server.backtests.evaluating import Setup, metric_named
from quantlab_server.backtests.given import CONFIGS, say
from quantlab_server.backtests.shards import SAVE_EVERY_S, merged, run_shard, shard_of, shared
from quantlab_server.backtests.splitting import SHARDS_MAX, Asked, Split, read_split, split_sweep
from quantlab_server.backtests.sweep_job import JobOptions, job_text
from quantlab_server.backtests.sweeping import (
    MANIFEST,
    RESULTS,
    document_of,
    hold_to,
    line_of,
    ranked,
)
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.cli.sweep_table import show
from quantlab_server.refusal import Refusal

Where = Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or s3://BUCKET/PREFIX.")]
CPUS: Final = 1.0


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of sweeps."""
    for command in (split, shard, merge, kubernetes):
        app.command()(command)


def split(
    strategy: options.Strategy,
    axis: options.Axes,
    place: Annotated[str, typer.Option("--place", help="A folder, or s3://BUCKET/PREFIX.")],
    shards: Annotated[int, typer.Option(help="How many.", min=1, max=SHARDS_MAX)],
    ticks: options.Ticks = None,
    bars: options.Bars = None,
    profile: options.Rules = None,
    set_: options.Settings = None,
    random: Annotated[int, typer.Option(help="Draw so many combinations.", min=0)] = 0,
    seed: options.Seed = 1,
    metric: options.MetricKey = "sharpe",
    configs: options.Configs = CONFIGS,
    news: options.News = None,
    *,
    lowest: options.Lowest = False,
    trace: Annotated[bool, typer.Option(help="Add the trace hash of each run.")] = False,
) -> None:
    """Put a sweep and its files into a place, for shards that run on any machines."""
    metric_named(metric)
    given = tuple(ticks or ()), tuple(bars or ())
    setup = Setup(strategy, *given, profile, configs, metric, traced=trace, news=news)
    asked = Asked(setup, tuple(axis), tuple(set_ or ()), random, seed, lowest)
    with shared(place) as opened:
        made = split_sweep(asked, shards, opened)
    most = max(len(made.part(one)) for one in range(shards))
    say(
        f"{made.runs:,} runs in {shards:,} shards of at most {most:,}: quantlab sweep shard {place}"
    )


def shard(
    place: Where,
    shard: Annotated[
        str | None, typer.Option(help="INDEX/COUNT, from 0; else the environment says it.")
    ] = None,
    jobs: options.Jobs = 0,
    save_every: Annotated[float, typer.Option(help="Seconds between storing.", min=0)] = (
        SAVE_EVERY_S
    ),
) -> None:
    """Run what is missing of one shard; Kubernetes and AWS Batch say by variables which it is."""
    with shared(place) as opened:
        known = read_split(opened)
        number = shard_of(shard, os.environ, known.shards)
        made = run_shard(opened, known, number, jobs, save_every)
    say(f"shard {number} of {known.shards}: {made:,} runs of {len(known.part(number)):,} were made")


def merge(
    place: Where,
    out: Annotated[Path | None, typer.Option(help="The folder of results to write.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all results, the best first.")] = None,
) -> None:
    """Put the results of all shards together: what one process would have made."""
    check_places(json=json)
    with shared(place) as opened:
        known = read_split(opened)
        rows = merged(opened, known)
    metric = str(known.sweep["metric"])
    if out is not None:
        _write(out, known, b"".join(map(line_of, rows)))
    if json is not None:
        text = document_of(rows, metric, known.seed, lowest=known.lowest)
        write_results(json, text)
    show(ranked(rows, lowest=known.lowest), metric, out)


def _write(folder: Path, known: Split, lines: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    hold_to(folder / MANIFEST, known.sweep)
    results = folder / RESULTS
    if results.exists() and results.read_bytes() != lines:
        raise Refusal(f"--out: {results} holds other results: give another folder")
    results.write_bytes(lines)


def kubernetes(
    place: Where,
    image: Annotated[str, typer.Option(help="The image that holds `quantlab`.")],
    name: Annotated[str, typer.Option(help="The name of the Job.")] = "quantlab-sweep",
    namespace: Annotated[str, typer.Option(help="Where it runs.")] = "default",
    parallelism: Annotated[int, typer.Option(help="Shards at once; 0 for all.", min=0)] = 0,
    cpu: Annotated[float, typer.Option(help="Cores of a shard.", min=0.1)] = CPUS,
    memory: Annotated[str, typer.Option(help="Memory of a shard.")] = "2Gi",
    service_account: Annotated[
        str | None, typer.Option(help="Whose rights reach the bucket of PLACE.")
    ] = None,
    claim: Annotated[
        str | None, typer.Option(help="The volume claim that holds PLACE, where it is a folder.")
    ] = None,
) -> None:
    """Print the indexed Job of a sweep that was split: `... | kubectl apply -f -`."""
    with shared(place) as opened:
        shards = read_split(opened).shards
    asked = JobOptions(
        place=place, image=image, name=name, namespace=namespace, shards=shards,
        parallelism=parallelism or shards, cpu=cpu, memory=memory,
        service_account=service_account, claim=claim,
    )  # fmt: skip
    typer.echo(job_text(asked), nl=False)
