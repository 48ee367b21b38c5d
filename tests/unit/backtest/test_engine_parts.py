"""The engine is kept under the hash of all it is made of: nothing it runs may be missing."""

from types import FunctionType, ModuleType

from quantlab.backtest.native import engine, sources
from quantlab.backtest.native.parts import MODULES

OWN = "quantlab."


def test_every_module_of_a_compiled_function_is_named() -> None:
    compiled = (*sources.KERNELS, *sources.SCALARS)
    picked = (*engine._FILL_FUNCTIONS, *engine._MARGIN_FUNCTIONS)
    needed = {module.__name__ for module in compiled} | {one.__module__ for one in picked}
    for module in compiled:
        functions = [one for one in vars(module).values() if isinstance(one, FunctionType)]
        reached = [one.__module__ for one in functions]
        needed |= {name for name in reached if name.startswith(OWN)}
        modules = [one for one in vars(module).values() if isinstance(one, ModuleType)]
        needed |= {one.__name__ for one in modules if one.__name__.startswith(OWN)}
    needed.add(engine.__name__)

    missing = needed - {OWN + name for name in MODULES}

    assert missing == set()
    assert len(set(MODULES)) == len(MODULES)
