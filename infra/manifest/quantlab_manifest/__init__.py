"""The manifests of the functions: typed, checked, read by every path that deploys them."""

from quantlab_manifest.loader import FILE, ManifestError, load, load_all
from quantlab_manifest.model import (
    ALARMS,
    AWS_KINDS,
    EVERYTHING_ELSE,
    KINDS,
    DeployWake,
    GatewayWake,
    HttpWake,
    Kind,
    Manifest,
    Profile,
    QueueWake,
    ScheduleWake,
    SocketWake,
    Wake,
    WorkerWake,
)

__all__ = [
    "ALARMS",
    "AWS_KINDS",
    "EVERYTHING_ELSE",
    "FILE",
    "KINDS",
    "DeployWake",
    "GatewayWake",
    "HttpWake",
    "Kind",
    "Manifest",
    "ManifestError",
    "Profile",
    "QueueWake",
    "ScheduleWake",
    "SocketWake",
    "Wake",
    "WorkerWake",
    "load",
    "load_all",
]
