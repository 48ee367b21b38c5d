"""Restarts: at once the first time, later each time a child fails soon, never too late."""

from typing import cast

from quantlab_server.children import Child
from quantlab_server.watch import FIRST_WAIT_S, STEADY_AFTER_S, WAIT_S_MAX, Watch


class FakeChild:
    def __init__(self) -> None:
        self.name = "fake"
        self.code: int | None = None
        self.starts = 0
        self.reaped = 0

    def exit_code(self) -> int | None:
        return self.code

    def finish(self) -> bool:
        self.reaped += 1
        return True

    def start(self) -> None:
        assert self.reaped == self.starts + 1, "reaped before it is started again"
        self.starts += 1
        self.code = None


class Scene:
    def __init__(self) -> None:
        self.now = 100.0
        self.child = FakeChild()
        self.waits: list[float] = []
        self.watch = Watch(
            (cast(Child, self.child),),
            lambda _child, _code, wait_s: self.waits.append(wait_s),
            lambda: self.now,
        )

    def fail(self, *, after: float) -> None:
        self.now += after
        self.child.code = 1
        assert self.watch.look()
        assert not self.watch.look(), "not yet due"
        self.now += self.waits[-1]
        assert self.watch.look()


def test_a_running_child_is_left_alone() -> None:
    scene = Scene()
    assert not scene.watch.look()
    assert scene.child.starts == 0
    assert scene.watch.restarted_most() is None


def test_waits_double_up_to_the_cap() -> None:
    scene = Scene()
    for _ in range(8):
        scene.fail(after=0.1)
    assert scene.waits[:3] == [FIRST_WAIT_S, FIRST_WAIT_S * 2, FIRST_WAIT_S * 4]
    assert scene.waits[-1] == WAIT_S_MAX
    assert scene.watch.restarted_most() == ("fake", 8)


def test_a_child_that_ran_for_long_starts_again_soon() -> None:
    scene = Scene()
    for _ in range(5):
        scene.fail(after=0.1)
    scene.fail(after=STEADY_AFTER_S)
    assert scene.waits[-1] == FIRST_WAIT_S
