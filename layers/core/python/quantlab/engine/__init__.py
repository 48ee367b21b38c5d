"""Commands of one account, decided from recorded inputs: state and events out, nothing else.

It must not read a clock, a store or a feed: the use case hands everything in.
"""

ENGINE_VERSION = "1"
