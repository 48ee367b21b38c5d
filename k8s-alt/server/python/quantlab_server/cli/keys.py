"""`quantlab keys`: the keys that sign access tokens and audit checkpoints."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from quantlab_app.ports.errors import Fault
from quantlab_app.ports.secrets import SigningPurpose
from quantlab_edge.compose import key_administration
from quantlab_server.cli.printing import Json, print_facts, print_json, refuse

app = typer.Typer(no_args_is_help=True, help="List, rotate and retire signing keys.")
State = Annotated[Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")]
# An option, because a key's name may begin with a hyphen.
Kid = Annotated[str, typer.Option("--kid", help="Name of the key, as `list` shows it.")]
Purpose = Annotated[SigningPurpose, typer.Option(help="What the key signs: jwt or audit.")]


@app.command("list")
def list_keys(
    state: State = Path(".state"), purpose: Purpose = "jwt", *, json: Json = False
) -> None:
    """Show the keys that verify, the one that signs first."""
    try:
        keys = asyncio.run(key_administration(_existing(state)).signing_keys(purpose))
    except Fault as fault:
        refuse(f"{fault}.")
    if json:
        print_json([{"kid": key.kid, "signs": key is keys[0]} for key in keys])
    else:
        words = {key.kid: "signs" if key is keys[0] else "verifies" for key in keys}
        print_facts(words, as_json=False)


@app.command()
def rotate(state: State = Path(".state"), purpose: Purpose = "jwt", *, json: Json = False) -> None:
    """Sign with a new key from now on; the keys before go on verifying until they are retired."""
    try:
        key = asyncio.run(key_administration(_existing(state)).rotate_signing_key(purpose))
    except Fault as fault:
        refuse(f"{fault}.")
    print_facts({"purpose": purpose, "kid": key.kid, "signs": True}, as_json=json)


@app.command()
def retire(
    kid: Kid, state: State = Path(".state"), purpose: Purpose = "jwt", *, json: Json = False
) -> None:
    """Delete a key that signs no more: what it signed is refused from now on."""
    try:
        asyncio.run(key_administration(_existing(state)).retire_signing_key(purpose, kid))
    except Fault as fault:
        refuse(f"{fault}.")
    print_facts({"purpose": purpose, "kid": kid, "retired": True}, as_json=json)


def _existing(state: Path) -> Path:
    if not (state / "keys").is_dir():
        refuse(f"expected keys in {state / 'keys'}, found none; run make up first.")
    return state
