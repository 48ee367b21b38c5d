"""`quantlab calendars`: make the session calendars, or say where they have drifted."""

from pathlib import Path
from typing import Annotated

import typer

from quantlab_server import calendars
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Make and check the session calendars.")

Folder = Annotated[Path, typer.Option("--configs", help="The folder with instruments.json.")]
CONFIGS = Path("agent/configs")


@app.command("build")
def build(configs: Folder = CONFIGS) -> None:
    """Write calendars/*.json anew from exchange_calendars and our own definitions."""
    folder = configs / "calendars"
    if not configs.is_dir():
        raise Refusal(f"expected a folder at {configs}")
    folder.mkdir(exist_ok=True)
    for name, text in calendars.build().items():
        path = folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        typer.echo(f"{path}: {len(text)} bytes")


@app.command("check")
def check(configs: Folder = CONFIGS) -> None:
    """Say which calendars are not what would be made now; exit 1 when one is not."""
    drifted = []
    for name, text in calendars.build().items():
        path = configs / "calendars" / f"{name}.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            drifted.append(str(path))
    if drifted:
        raise Refusal(f"not what would be made now: {', '.join(drifted)}; quantlab calendars build")
