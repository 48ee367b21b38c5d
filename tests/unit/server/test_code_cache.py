"""Compiled code on disk: whole, ours, or not there."""

from pathlib import Path

import pytest
from tests.support.qls_bars import compiled

from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox.code_cache import FileObjectCache

PROGRAM = 'on tick\n    plot("x", sma(bid, 3))\n'


def test_code_is_built_once_and_works_from_the_cache(tmp_path: Path) -> None:
    cache = FileObjectCache(tmp_path / "code")
    first = NativeProgram(compiled(PROGRAM), objects=cache)
    second = NativeProgram(compiled(PROGRAM), objects=cache)
    assert (first.code.was_cached, second.code.was_cached) == (False, True)
    assert not NativeProgram(compiled(PROGRAM), objects=cache, tier="tuned").code.was_cached
    results = []
    for native in (first, second):
        strategy = NativeStrategy(native)
        for bid in (1.0, 2.0, 4.0):
            strategy.run("tick", _Host(bid))
        results.append(strategy.image())
    assert results[0] == results[1]


class _Host:
    def __init__(self, bid: float) -> None:
        self.bid = bid

    def read(self, read: object) -> float:
        return self.bid


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1], lambda _: b"", lambda data: data[:20],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b"\0" * 32 + data[32:],
    ],
)  # fmt: skip
def test_damaged_code_is_built_anew(tmp_path: Path, damage) -> None:
    cache = FileObjectCache(tmp_path / "code")
    NativeProgram(compiled(PROGRAM), objects=cache)
    (path,) = (tmp_path / "code").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert not NativeProgram(compiled(PROGRAM), objects=cache).code.was_cached
    assert NativeProgram(compiled(PROGRAM), objects=cache).code.was_cached


def test_code_under_another_key_is_not_ours(tmp_path: Path) -> None:
    cache = FileObjectCache(tmp_path / "code")
    cache.put("a", b"code of a")
    (path,) = (tmp_path / "code").iterdir()
    cache.put("b", b"code of b")
    (other,) = set((tmp_path / "code").iterdir()) - {path}
    other.write_bytes(path.read_bytes())
    assert (cache.get("a"), cache.get("b")) == (b"code of a", None)


def test_a_folder_others_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Refusal, match="can be written by others"):
        FileObjectCache(folder)


def test_what_cannot_be_written_is_not_kept(tmp_path: Path) -> None:
    cache = FileObjectCache(tmp_path / "code")
    (tmp_path / "code").rmdir()
    cache.put("a", b"code")
    assert cache.get("a") is None
