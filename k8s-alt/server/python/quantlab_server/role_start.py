"""One process of the group, begun by its kind and name; its settings are the environment's."""

import os
from typing import Final

from pydantic import ValidationError

from quantlab_edge.settings import Settings
from quantlab_server import roles
from quantlab_server.refusal import Refusal

PROFILE: Final = "QUANTLAB_PROFILE"


def begin(kind: str, name: str = "") -> None:
    """Live as server or scheduler, or as the queue or worker of that name, until told to end."""
    if kind == "worker" and _on_aws():
        roles.run_worker_on_aws(name)
        return
    settings = _settings()
    if kind == "server":
        roles.run_server(settings)
    elif kind == "scheduler":
        roles.run_scheduler(settings)
    elif kind == "queue":
        roles.run_queue(settings, name)
    else:
        roles.run_worker(settings, name)


def _on_aws() -> bool:
    profile = os.environ.get(PROFILE, "selfhost")
    if profile not in {"selfhost", "aws"}:
        raise Refusal(f"{PROFILE}: expected selfhost or aws, got {profile!r}.")
    return profile == "aws"


def _settings() -> Settings:
    if _on_aws():
        raise Refusal(f"{PROFILE} is aws, where only workers are processes; the rest are Lambdas.")
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        faults = "; ".join(
            f"QUANTLAB_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise Refusal(f"the settings are incomplete: {faults}") from error
