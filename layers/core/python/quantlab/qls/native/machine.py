"""LLVM assembly to machine code in this process, for the CPU at hand."""

import hashlib
import itertools
from functools import cache
from typing import Any, Final, Protocol

import llvmlite
import llvmlite.binding as llvm

from quantlab.qls.native.abi import ABI_VERSION

QUICK: Final = "quick"
"""Little optimised: compiled in a fifth of the time, for code that runs a few events a second."""
TUNED: Final = "tuned"
"""LLVM's O2 without its vectorisers, for code that runs for hours."""


class ObjectCache(Protocol):
    """Keeps object code between processes. What it cannot vouch for it does not have."""

    def get(self, key: str) -> bytes | None:
        """Return what was kept under a key, exactly as it was put; None if there is none."""
        ...

    def put(self, key: str, code: bytes) -> None:
        """Keep object code."""
        ...


class Code:
    """Machine code in memory, for as long as this lives; addresses by function name."""

    def __init__(self, tracker: Any, names: tuple[str, ...], *, was_cached: bool) -> None:
        self._tracker = tracker
        self.addresses: dict[str, int] = {name: tracker[name] for name in names}
        self.was_cached = was_cached


def build(
    assembly: str,
    names: tuple[str, ...],
    *,
    tier: str = QUICK,
    objects: ObjectCache | None = None,
) -> Code:
    """Return the named functions of a module as machine code.

    Raises RuntimeError for assembly that is not well formed, ValueError where it calls anything
    outside of itself.
    """
    key = cache_key(assembly, tier) if objects is not None else ""
    code = objects.get(key) if objects is not None else None
    was_cached = code is not None
    if code is None:
        code = compile_object(assembly, tier)
        if objects is not None:
            objects.put(key, code)
    library = llvm.JITLibraryBuilder().add_object_img(code)
    for name in names:
        library.export_symbol(name)
    tracker = library.link(linker(), f"qls{next(_NUMBERS)}")
    return Code(tracker, names, was_cached=was_cached)


def compile_object(assembly: str, tier: str = QUICK) -> bytes:
    """Return a module as object code (ELF or Mach-O) for the CPU at hand."""
    machine = target_machine(tier)
    module = llvm.parse_assembly(assembly)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    optimise(module, machine, tier)
    _check_closed(module)
    code: bytes = machine.emit_object(module)
    return code


def _check_closed(module: Any) -> None:
    """Refuse a module that calls what is not its own."""
    for function in module.functions:
        if function.is_declaration and not function.name.startswith("llvm."):
            raise ValueError(f"{function.name}: expected a function of the module, was one outside")


def optimise(module: Any, machine: Any, tier: str) -> None:
    """Run the passes of a tier over a module, in place; no pass changes a bit of any result."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    if tier == TUNED:
        passes = builder.getModulePassManager()
    else:
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
    passes.run(module, builder)


@cache
def target_machine(tier: str) -> Any:
    """Return LLVM's description of the CPU at hand, with all it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = cpu()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=name, features=features, opt=2 if tier == TUNED else 0, reloc="pic", codemodel="default"
    )


@cache
def cpu() -> tuple[str, str]:
    """Return the name and the features of the CPU at hand, as LLVM says them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def has_fma() -> bool:
    """Say whether the CPU at hand adds to a product in one instruction, rounding once."""
    return "+fma" in cpu()[1].split(",") or llvm.get_default_triple().startswith("aarch64")


def cache_key(assembly: str, tier: str) -> str:
    """Return the name of a module's object code: of the text, the tier, the compiler and the CPU.

    The assembly holds all that a source, the library and the lowering decide, so no version of
    theirs can be forgotten.
    """
    parts = (
        f"abi {ABI_VERSION}", tier, llvmlite.__version__, str(llvm.llvm_version_info),
        llvm.get_default_triple(), *cpu(), assembly,
    )  # fmt: skip
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


@cache
def linker() -> Any:
    """Return what puts object code into this process.

    It is JITLink, which keeps the parts of an object side by side. LLVM's older linker lets them
    fall where there is room, and ends the process where that is more than 2 GiB apart.
    """
    return llvm.create_lljit_compiler(target_machine(TUNED), use_jit_link=True)


_NUMBERS: Final = itertools.count()
