"""The second wall around a strategy: a child process that can compute, and nothing else."""
