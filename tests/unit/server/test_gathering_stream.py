import asyncio
import contextlib
import io
import os

from quantlab_server.role_logs import GatheringStream


def test_lines_outside_a_loop_are_written_at_once() -> None:
    target = io.StringIO()
    stream = GatheringStream(target)
    print("one", file=stream, flush=True)
    assert target.getvalue() == "one\n"


async def test_lines_of_a_moment_are_one_write_in_order() -> None:
    writes: list[str] = []

    class Counting(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return super().write(text)

    stream = GatheringStream(Counting(), moment_s=0.01)
    for number in range(3):
        print(number, file=stream, flush=True)
    assert writes == []
    await asyncio.sleep(0.1)
    assert writes == ["0\n1\n2\n"]
    print("later", file=stream, flush=True)
    stream.release()
    assert writes == ["0\n1\n2\n", "later\n"]


async def test_lines_that_nobody_reads_any_more_are_dropped_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: faults.append(said))
    with os.fdopen(writing, "w", buffering=1) as target:
        stream = GatheringStream(target, moment_s=0.01)
        print("nobody", file=stream, flush=True)
        await asyncio.sleep(0.1)
        assert faults == []
        with contextlib.suppress(BrokenPipeError):
            target.close()
