"""`quantlab keys` and `quantlab openapi` as an operator sees them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quantlab_server.cli import keys

runner = CliRunner()


def run(state: Path, *words: str) -> Result:
    return runner.invoke(keys.app, [*words, "--state", str(state)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir(mode=0o700)
    return tmp_path


def test_rotation_keeps_the_old_key_until_it_is_retired(state: Path) -> None:
    (first,) = json.loads(run(state, "list", "--json").stdout)
    assert first["signs"]
    new = json.loads(run(state, "rotate", "--json").stdout)
    listed = json.loads(run(state, "list", "--json").stdout)
    assert listed == [{"kid": new["kid"], "signs": True}, {"kid": first["kid"], "signs": False}]
    assert run(state, "retire", "--kid", new["kid"]).exit_code == 1
    assert run(state, "retire", "--kid", first["kid"]).exit_code == 0
    assert json.loads(run(state, "list", "--json").stdout) == [{"kid": new["kid"], "signs": True}]


def test_folder_without_keys_is_refused_in_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, "rotate")
    assert result.exit_code == 1
    assert str(tmp_path / "keys") in result.output
    assert not (tmp_path / "keys").exists()


def test_purposes_have_their_own_keys(state: Path) -> None:
    tokens = json.loads(run(state, "list", "--json").stdout)
    checkpoints = json.loads(run(state, "list", "--purpose", "audit", "--json").stdout)
    assert tokens != checkpoints


def test_key_whose_name_begins_with_a_hyphen_is_named_like_any_other(state: Path) -> None:
    run(state, "list")
    result = run(state, "retire", "--kid", "-nobody")
    assert result.exit_code == 1
    assert "-nobody" in result.output
