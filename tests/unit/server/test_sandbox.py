"""The second wall: what a strategy's child process can do, and what kills it."""

import signal
import struct
import subprocess
import sys

import pytest
from tests.support.qls_bars import compiled
from tests.support.qls_programs import RandomHost, events_of, program_source
from tests.support.qls_twins import AskedHost, exact_effects

from quantlab.qls.interpreter import Interpreter
from quantlab.qls.semantics import Trap
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import frames, landlock, seccomp
from quantlab_server.sandbox.strategy import SandboxedStrategy
from quantlab_server.sandbox.walls import Limits

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="no seccomp filter for this system")

SCRIPT = """
import ctypes, mmap, os, signal, socket, sys, threading, time
from quantlab_server.sandbox import seccomp
from quantlab_server.sandbox.walls import Limits, close_first, close_rest
{before}
close_first(Limits(compile_cpu_s=1, cpu_s=1, memory_bytes=512 * 1024 * 1024))
walls = close_rest(Limits(compile_cpu_s=1, cpu_s=0), {may_lack})
os.write(1, b"closed ")
try:
    {action}
except MemoryError:
    os.write(1, b"memory")
    os._exit(0)
os.write(1, b"ESCAPED")
os._exit(0)
"""


def inside(
    action: str, may_lack: tuple[str, ...] = (), before: str = ""
) -> "subprocess.CompletedProcess[str]":
    script = SCRIPT.format(action=action, may_lack=may_lack, before=before)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


FORBIDDEN = {
    "open a file": 'open("/etc/hostname")',
    "write a file": 'os.open("/tmp/x", os.O_CREAT | os.O_WRONLY)',
    "list a folder": 'os.listdir("/")',
    "open a socket": "socket.socket()",
    "fork": "os.fork()",
    "run a program": 'os.execv("/bin/true", ["true"])',
    "start a thread": "threading.Thread(target=print).start()",
    "signal another process": "os.kill(os.getppid(), 0)",
    "sleep": "time.sleep(60)",
    "make memory executable": "mmap.mmap(-1, 4096, prot=7)",
    "write to another descriptor": "os.write(5, b'x')",
    "read from another descriptor": "os.read(1, 1)",
    "trace": "ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
    "change its limits": "__import__('resource').setrlimit(4, (0, 0))",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_forbidden_call_kills_the_process(what: str) -> None:
    done = inside(FORBIDDEN[what], before="import resource")
    assert (done.stdout, done.returncode) == ("closed ", -signal.SIGSYS), done.stderr


def test_what_a_strategy_needs_is_allowed() -> None:
    done = inside("x = [bytes(n) for n in range(3000)]; del x; time.perf_counter()")
    assert (done.stdout, done.returncode) == ("closed ESCAPED", 0), done.stderr


def test_a_memory_bomb_ends_at_the_limit() -> None:
    done = inside("x = []\n    while True: x.append(bytearray(1 << 24))")
    assert (done.stdout, done.returncode) == ("closed memory", 0), done.stderr


def test_an_endless_loop_ends_at_its_cpu_time() -> None:
    done = inside("while True: pass")
    assert done.stdout == "closed "
    assert done.returncode in {-signal.SIGXCPU, -signal.SIGKILL}


def test_a_missing_wall_is_refused_unless_it_may_be_missing() -> None:
    before = "seccomp.close = lambda libc: False"
    refused = inside("pass", before=before)
    assert "this system has no seccomp" in refused.stderr
    assert refused.stdout == ""
    allowed = inside("os.write(1, ' '.join(walls).encode())", ("seccomp",), before)
    assert "seccomp" not in allowed.stdout.removeprefix("closed ")
    assert "rlimits" in allowed.stdout


LANDLOCKED = """
import ctypes, socket
from quantlab_server.sandbox import landlock
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
closed = landlock.close(libc)
print(closed)
for act in (lambda: open("/etc/passwd"), lambda: socket.create_connection(("127.0.0.1", 1))):
    try:
        act()
        print("done")
    except OSError as error:
        print(type(error).__name__)
"""


def test_landlock_alone_denies_files_and_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LANDLOCKED], capture_output=True, text=True, timeout=60, check=True
    )
    closed, *denied = done.stdout.split()
    if closed == "False":
        pytest.skip("this kernel has no Landlock")
    assert denied[0] == "PermissionError"
    assert denied[1] in {"PermissionError", "ConnectionRefusedError"}  # network since version 4


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_lets_nothing_by_default(machine: str) -> None:
    assert evaluate(machine, 0) != "allow" or machine == "x86_64"  # read on x86-64 is number 0
    known = seccomp.MACHINES[machine].calls
    allowed = {number for number in range(600) if evaluate(machine, number) == "allow"}
    assert allowed == set(known.values())
    assert evaluate(machine, known["read"], (3,)) == "kill"
    assert evaluate(machine, known["write"], (0,)) == "kill"
    assert evaluate(machine, known["write"], (2,)) == "allow"
    assert evaluate(machine, known["mmap"], (0, 0, 7)) == "kill"
    assert evaluate(machine, known["read"] | 0x40000000) == "kill"
    assert evaluate(machine, known["read"], audit=0x40000003) == "kill"


def evaluate(
    machine: str, number: int, arguments: tuple[int, ...] | None = None, audit: int | None = None
) -> str:
    """Run the filter as the kernel does; without arguments, with such as are allowed."""
    known = seccomp.MACHINES[machine]
    if arguments is None:
        arguments = (1,) if number == known.calls["write"] else (0, 0, 3)
    data = struct.pack(
        "<IIQ6Q", number, audit or known.audit, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6]
    )
    program = list(struct.iter_unpack("<HBBI", seccomp.filter_program(machine)))
    at = accumulator = 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x06:
            return "allow" if operand == 0x7FFF0000 else "kill"
        else:
            test = {0x15: accumulator == operand, 0x35: accumulator >= operand}.get(
                code, bool(accumulator & operand)
            )
            at += yes if test else no


@pytest.mark.parametrize("seed", range(4))
def test_a_sandboxed_strategy_does_what_the_interpreter_does(seed: int) -> None:
    source = program_source(seed)
    program = compiled(source)
    oracle, host = Interpreter(program), RandomHost(seed)
    with SandboxedStrategy(source) as strategy:
        assert set(strategy.walls) >= {"rlimits", "no_new_privileges", "seccomp"}
        for kind, symbol, stream in events_of(program, seed, 30):
            host.event += 1
            results = []
            for side in (oracle, strategy):
                try:
                    effects = side.run(kind, AskedHost(host.read), symbol=symbol, stream=stream)
                    results.append(exact_effects(effects))
                except Trap as trap:
                    results.append((trap.reason,))
            assert results[0] == results[1]
            if strategy.trapped:
                break  # it has ended
            assert (oracle.trapped, oracle.fuel_used) == (strategy.trapped, strategy.fuel_used)
            assert oracle.orders_placed == strategy.orders_placed or oracle.trapped


def test_errors_of_a_source_come_back_in_words() -> None:
    with pytest.raises(Refusal, match="Nothing here is called bidd"):
        SandboxedStrategy('on tick\n    plot("x", bidd)\n')
    with pytest.raises(Refusal, match="n: expected 1 to 9, was 10"):
        SandboxedStrategy(
            'input n = int(4, min=1, max=9)\non tick\n    plot("x", bid * n)\n', {"n": 10}
        )
    with pytest.raises(Refusal, match=r"SOURCE_BYTES_MAX|larger|longer"):
        SandboxedStrategy("x" * 10_000_000)


def test_compiling_in_too_little_memory_is_refused() -> None:
    with pytest.raises(Refusal, match=r"memory|stopped"):
        SandboxedStrategy(program_source(1), bounds=Limits(memory_bytes=48 * 1024 * 1024))


def test_a_child_that_is_killed_is_a_refusal() -> None:
    with SandboxedStrategy('on tick\n    plot("x", bid)\n') as strategy:
        strategy._child.kill()
        with pytest.raises(Refusal, match="it was killed"):
            strategy.run("tick", RandomHost(1))


def test_a_child_that_does_not_answer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantlab_server.sandbox.strategy.EVENT_WAIT_S", 0.2)
    with SandboxedStrategy('on tick\n    plot("x", bid)\n') as strategy:
        strategy._child.send_signal(signal.SIGSTOP)
        with pytest.raises(Refusal, match="no answer in time"):
            strategy.run("tick", RandomHost(1))
    assert strategy._child.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\0" * 16, b"\xff" * 80, b"\0" * 16 + (17).to_bytes(8, "little") + b"\0" * 56,
        b"\0" * 24 + (1).to_bytes(8, "little") + b"\0" * 48 + b"\xff" * 80,
    ],
)  # fmt: skip
def test_a_lying_child_is_found_out(payload: bytes) -> None:
    out = memoryview(bytearray(8 * 1000))
    with pytest.raises(frames.Broken):
        frames.unpack_result(payload, (), out)


def test_frames_of_absurd_length_are_refused() -> None:
    with pytest.raises(frames.Broken, match="4294967295 bytes"):
        frames.receive(lambda count: b"\xff" * count)
    parts = iter([b"\x02\0\0\0", b"x", b""])
    with pytest.raises(frames.Broken, match="cut short"):
        frames.receive(lambda _: next(parts))


def test_landlock_says_false_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert landlock.close(None) is False  # type: ignore[arg-type]
    assert seccomp.close(None) is False  # type: ignore[arg-type]
