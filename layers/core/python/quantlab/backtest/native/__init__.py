"""The loop as machine code: compiled once for the CPU at hand, then joined with each strategy."""
