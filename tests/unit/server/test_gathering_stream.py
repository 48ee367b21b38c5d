import asyncio
import io

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
