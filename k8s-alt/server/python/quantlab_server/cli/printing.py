"""How commands print: JSON for programs, rich text for people, one sentence for refusals."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    sys.stdout.flush()


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a few named values."""
    if as_json:
        print_json(facts)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(f"[bold]{name}[/bold]", str(value))
    Console(soft_wrap=True).print(table)


def refuse(sentence: str) -> NoReturn:
    """Print one sentence to standard error and end with exit code 1."""
    sys.stderr.write(f"{sentence}\n")
    raise typer.Exit(1)
