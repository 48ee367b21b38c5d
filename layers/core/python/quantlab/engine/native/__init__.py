"""The core's scalar functions compiled, over arrays: many accounts at once, the same arithmetic.

No function that runs in a Lambda may import it; where numba is missing the plain path does it all.
"""
