"""Functions without arguments that run one event's handlers on one strategy's memory.

The addresses of code and memory stand in the code itself: a call from Python costs no more than the
call.
"""

from quantlab.qls.native import abi


def event_text(name: str, handlers: tuple[int, ...], blocks: tuple[int, ...], fuel: int) -> str:
    """Return the assembly of `i64 @name()`.

    handlers are addresses in the order they run, blocks those of state, reads and out, fuel the
    budget of each handler. It begins the event, runs the handlers until one traps, adds up the
    fuel, and returns the number of orders or the negated code of the trap. A strategy that has
    trapped before stays as it is and gives that trap again.
    """
    out = blocks[2]
    arguments = ", ".join(f"ptr {_address(block)}" for block in blocks)
    lines = [
        f"define i64 @{name}() nounwind {{",
        f"%before = load i64, ptr {_word(out, abi.TRAP)}",
        "%stopped = icmp ne i64 %before, 0",
        "br i1 %stopped, label %end, label %go",
        "end:",
        "%code = sub i64 0, %before",
        "ret i64 %code",
        "go:",
        f"store i64 0, ptr {_word(out, abi.ORDERS)}",
        f"store i64 0, ptr {_word(out, abi.OUTPUTS)}",
    ]
    for place, handler in enumerate(handlers):
        lines += _call(place, handler, arguments, out, fuel)
    lines += [f"%orders = load i64, ptr {_word(out, abi.ORDERS)}", "ret i64 %orders", "}", ""]
    return "\n".join(lines)


def _call(place: int, handler: int, arguments: str, out: int, fuel: int) -> list[str]:
    return [
        f"store i64 {fuel}, ptr {_word(out, abi.FUEL)}",
        f"%r{place} = call i64 {_address(handler)}({arguments})",
        f"%left{place} = load i64, ptr {_word(out, abi.FUEL)}",
        f"%burnt{place} = sub i64 {fuel}, %left{place}",
        f"%sum{place} = load i64, ptr {_word(out, abi.FUEL_USED)}",
        f"%all{place} = add i64 %sum{place}, %burnt{place}",
        f"store i64 %all{place}, ptr {_word(out, abi.FUEL_USED)}",
        f"%bad{place} = icmp slt i64 %r{place}, 0",
        f"br i1 %bad{place}, label %stop{place}, label %next{place}",
        f"stop{place}:",
        f"ret i64 %r{place}",
        f"next{place}:",
    ]


def _address(address: int) -> str:
    return f"inttoptr (i64 {address} to ptr)"


def _word(block: int, word: int) -> str:
    return _address(block + 8 * word)
