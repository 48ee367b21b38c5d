"""Faults of the world: the few classes an adapter may raise."""


class Fault(Exception):
    """Something outside failed. `retryable` says whether the same call may succeed later."""

    retryable = False


class StoreUnavailable(Fault):
    """PostgreSQL or Redis did not answer; nothing was done, or it is not known what was done."""

    retryable = True


class Conflict(Fault):
    """Another writer was first, or a unique name is taken."""


class NotFound(Fault):
    """The object does not exist for this tenant."""


class Misconfigured(Fault):
    """A setting, key or secret that is needed is absent or unusable."""
