"""`quantlab rules`: run rule vectors through the engine, and write the pages on rules."""

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab_server.cli.printing import Json, print_json
from quantlab_server.rule_vectors.document import MalformedVectors, parse_vectors
from quantlab_server.rule_vectors.run import check_vector
from quantlab_server.rules_doc.page import FOLDER, pages

app = typer.Typer(no_args_is_help=True, help="Check rule profiles against vectors.")

PRESETS = Path("agent/configs/profiles")
MALFORMED = 2


@app.callback()
def group() -> None:
    """Check rule profiles against vectors."""


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A file of vectors; docs/rules-vectors.md says how.")
    ],
    profiles: Annotated[
        Path, typer.Option(help="The folder of the presets that vectors name.")
    ] = PRESETS,
    *,
    json: Json = False,
) -> None:
    """Run every vector; exit code 1 at the first mismatch, 2 when the file cannot be run."""
    try:
        presets = {path.stem: _document(path) for path in sorted(profiles.glob("*.json"))}
        vectors = parse_vectors(_document(file), presets)
    except MalformedVectors as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(MALFORMED) from error
    for vector in vectors.vectors:
        mismatch = check_vector(vector, vectors.catalog)
        if mismatch is not None:
            if json:
                found = {name: getattr(mismatch, name) for name in mismatch.__slots__}
                print_json({"ok": False, "mismatch": found})
            else:
                typer.echo(mismatch.sentence(), err=True)
            raise typer.Exit(1)
    steps = sum(len(vector.steps) for vector in vectors.vectors)
    if json:
        print_json({"ok": True, "vectors": len(vectors.vectors), "steps": steps})
    else:
        typer.echo(f"{len(vectors.vectors)} vectors with {steps} steps hold.")


def _document(path: Path) -> Any:
    try:
        return json_text.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedVectors(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise MalformedVectors(f"{path}: expected JSON that is not nested so deep") from error
    except ValueError as error:
        raise MalformedVectors(f"{path}: expected JSON, {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"each key of an object once, got {twice!r} twice")
    return found


@app.command()
def doc(
    docs: Annotated[Path, typer.Option(help="The folder of the pages and of the vectors.")] = Path(
        "docs"
    ),
) -> None:
    """Write docs/rules.md and its pictures from docs/rules-vectors.json."""
    document = _document(docs / "rules-vectors.json")
    presets = {path.stem: _document(path) for path in sorted(PRESETS.glob("*.json"))}
    (docs / FOLDER).mkdir(exist_ok=True)
    written = pages(document, parse_vectors(document, presets))
    for name, text in written.items():
        (docs / name).write_text(text, encoding="utf-8")
    for picture in (docs / FOLDER).glob("*.svg"):
        if f"{FOLDER}/{picture.name}" not in written:
            picture.unlink()
