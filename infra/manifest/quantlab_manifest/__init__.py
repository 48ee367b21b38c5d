"""The manifests of the functions: typed, checked, read by every path that deploys them."""

from quantlab_manifest.loader import FILE, ManifestError, load, load_all
from quantlab_manifest.model import (
    ALARMS,
    KINDS,
    HttpWake,
    Kind,
    Manifest,
    QueueWake,
    ScheduleWake,
    SocketWake,
    Wake,
    WorkerWake,
)

__all__ = [
    "ALARMS",
    "FILE",
    "KINDS",
    "HttpWake",
    "Kind",
    "Manifest",
    "ManifestError",
    "QueueWake",
    "ScheduleWake",
    "SocketWake",
    "Wake",
    "WorkerWake",
    "load",
    "load_all",
]
