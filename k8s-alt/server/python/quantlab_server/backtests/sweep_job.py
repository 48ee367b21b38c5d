"""A sweep as an indexed Job of Kubernetes: one pod a shard, tried again by itself."""

import json
from typing import Any, Final, NamedTuple

from quantlab_edge.places import BUCKET
from quantlab_server.backtests.given import FOLDER
from quantlab_server.refusal import Refusal

TRIES: Final = 5
KEPT_S: Final = 7 * 24 * 3600
USER: Final = 10_001
CACHE: Final = "/cache"
GRACE_S: Final = 30
DISRUPTED: Final = {"type": "DisruptionTarget", "status": "True"}


class JobOptions(NamedTuple):
    """What a Job is made of."""

    place: str
    image: str
    name: str
    namespace: str
    shards: int
    parallelism: int
    cpu: float
    memory: str
    service_account: str | None
    claim: str | None


def job_text(asked: JobOptions) -> str:
    """Return the Job as JSON, which kubectl takes as it takes YAML; or raise Refusal."""
    if asked.place.startswith(BUCKET) == (asked.claim is not None):
        raise Refusal(
            "expected --claim where PLACE is a folder, and only there: a pod has no folder of its"
            " own that lasts"
        )
    if asked.claim is not None and not asked.place.startswith("/"):
        raise Refusal(f"PLACE: expected a folder from / on, as pods see it, was {asked.place!r}")
    return json.dumps(_job(asked), indent=2) + "\n"


def _job(asked: JobOptions) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "quantlab-sweep", "app.kubernetes.io/instance": asked.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": asked.name, "namespace": asked.namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": asked.shards,
            "parallelism": asked.parallelism,
            "backoffLimitPerIndex": TRIES,
            "podFailurePolicy": {
                # A node that is drained or taken away is no fault of the shard.
                "rules": [{"action": "Ignore", "onPodConditions": [DISRUPTED]}]
            },
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": _pod(asked)},
        },
    }


def _pod(asked: JobOptions) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "cache", "emptyDir": {}}]
    mounts = [{"name": "cache", "mountPath": CACHE}]
    if asked.claim is not None:
        claim = {"claimName": asked.claim}
        volumes.append({"name": "place", "persistentVolumeClaim": claim})
        mounts.append({"name": "place", "mountPath": asked.place})
    resources = {"cpu": f"{asked.cpu:g}", "memory": asked.memory}
    container = {
        "name": "shard",
        "image": asked.image,
        "command": ["quantlab"],
        "args": ["sweep", "shard", asked.place, "--jobs", str(max(1, int(asked.cpu)))],
        "env": [{"name": name, "value": CACHE} for name in (FOLDER, "TMPDIR")],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    account = asked.service_account
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        **({} if account is None else {"serviceAccountName": account}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
