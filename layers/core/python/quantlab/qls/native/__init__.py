"""QLS to machine code by LLVM: the same instructions as the interpreter, bit for bit.

Only workers and the command line may import it; it needs llvmlite.
"""
