"""What a process reads of its environment, and what it says of what is wrong there."""

from pathlib import Path

import pytest

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.environment import Environment, between, matching, variable


class Base(Environment):
    name: str = "nobody"
    count: int = variable(default=2, check=between(1, 9))


class Few(Base):
    count: int = variable(default=3, check=between(3))
    place: Path
    other: Path | None = None
    loud: bool = False
    word: str = variable(default="a", check=matching("[a-z]+"))


def test_texts_become_what_the_annotations_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_PLACE", "a/b")
    monkeypatch.setenv("QUANTLAB_OTHER", "c")
    monkeypatch.setenv("QUANTLAB_COUNT", "12")
    monkeypatch.setenv("QUANTLAB_LOUD", "Yes")
    read = Few.read()
    assert (read.place, read.other, read.count, read.loud) == (Path("a/b"), Path("c"), 12, True)
    assert (read.name, read.word) == ("nobody", "a")


def test_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_COUNT", "none")
    assert Few(place=Path("x"), count=4).count == 4
    assert Base(count=1).count == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("COUNT", "2", "expected at least 3"),
        ("COUNT", "2.5", "expected a whole number"),
        ("LOUD", "maybe", "expected true or false"),
        ("WORD", "a1", r"expected a text like \[a-z\]\+"),
        ("WORD", "a\n", r"expected a text like \[a-z\]\+"),
    ],
)
def test_a_wrong_variable_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv("QUANTLAB_PLACE", "x")
    monkeypatch.setenv(f"QUANTLAB_{name}", text)
    with pytest.raises(Misconfigured, match=f"^QUANTLAB_{name}: {said}$"):
        Few.read()


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTLAB_PLACE", raising=False)
    with pytest.raises(Misconfigured) as refused:
        Few(count=2, word="-")
    assert str(refused.value) == (
        "QUANTLAB_COUNT: expected at least 3; QUANTLAB_PLACE: expected a value, got nothing; "
        "QUANTLAB_WORD: expected a text like [a-z]+"
    )


def test_a_default_is_checked_too() -> None:
    class Wrong(Environment):
        count: int = variable(default=10, check=between(1, 9))

    with pytest.raises(Misconfigured, match="QUANTLAB_COUNT: expected a number from 1 to 9"):
        Wrong.read()


def test_nothing_else_can_be_given_or_changed() -> None:
    with pytest.raises(TypeError, match="got names"):
        Few(place=Path("x"), names="y")  # type: ignore[call-arg]
    read = Few(place=Path("x"))
    with pytest.raises(AttributeError):
        read.name = "z"  # type: ignore[misc]
