"""Numba without its machine code: what it compiles is linked once, when the whole is asked for.

Numba links every function with all that it calls, optimises that and emits it, so that each can
run by itself. None of the engine's hundreds does: two wholes are wanted of them, as text. Where
each is only lowered, compiling takes half the time.
"""

# ruff: noqa: SLF001 - numba has no other place for this

from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as llvm
from numba.core import codegen
from numba.core.registry import cpu_target

_NO_ADDRESS: Final = 0
_CodeLibrary: Any = codegen.CPUCodeLibrary
_target: Any = cpu_target


class _LinkedOnce(_CodeLibrary):  # type: ignore[misc]
    """A function's code, which knows the libraries of those it calls."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        del name
        return _NO_ADDRESS

    def get_llvm_str(self) -> str:
        return str(self._whole())

    def _get_module_for_linking(self) -> Any:
        """Serve a caller that numba compiles as ever, later in this process."""
        if self._shared_module is None:
            self._final_module = self._whole()
            self._linking_libraries.clear()
        return super()._get_module_for_linking()

    def _whole(self) -> Any:
        whole = llvm.parse_assembly(str(self._codegen._create_empty_module(self.name)))
        for library in self._reached():
            whole.link_in(library._final_module, preserve=True)
        self._inline_what_always_is(whole)
        return whole

    def _reached(self) -> list["_LinkedOnce"]:
        reached, waiting = dict[_LinkedOnce, None](), [self]
        while waiting:
            library = waiting.pop()
            if library not in reached:
                reached[library] = None
                waiting.extend(library._linking_libraries)
        return list(reached)

    def _inline_what_always_is(self, whole: Any) -> None:
        options = llvm.create_pipeline_tuning_options(speed_level=0)
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(whole, builder)


def linked_once(compiled: Callable[[], Any]) -> Any:
    """Have numba only lower what it compiles; nothing compiled so can be called."""
    # What numba itself calls is compiled before, as ever.
    _target.target_context.refresh()
    generator = _target.target_context.codegen()
    generator._library_class = _LinkedOnce
    generator.set_env = lambda name, env: None  # noqa: ARG005 - numba names what it passes
    try:
        return compiled()
    finally:
        del generator._library_class, generator.set_env
