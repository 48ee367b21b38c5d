"""A Python that has what a Lambda has: the standard library, the layers, one function's files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from quantlab_cdk.code import Code, identity
from quantlab_manifest import Manifest

ENVIRONMENT: Final = {
    "QUANTLAB_PROFILE": "aws",
    "QUANTLAB_STAGE": "test",
    "QUANTLAB_STORES_SECRET": "quantlab/test/stores",
    "QUANTLAB_KEYS_SECRET": "quantlab/test/keys",
    "QUANTLAB_SECRETS_PREFIX": "quantlab/test",
    "QUANTLAB_QUEUE_ORDERS": "http://127.0.0.1:1/orders.fifo",
    "QUANTLAB_QUEUE_AUDIT": "http://127.0.0.1:1/audit.fifo",
    "QUANTLAB_QUEUE_PUBLISH": "http://127.0.0.1:1/publish.fifo",
    "QUANTLAB_QUEUE_WEBHOOKS": "http://127.0.0.1:1/webhooks.fifo",
    "QUANTLAB_EVENT_BUS": "events",
    "QUANTLAB_SOCKET_ENDPOINT": "http://127.0.0.1:1/live",
    "QUANTLAB_ARCHIVE_BUCKET": "archive",
    "QUANTLAB_MAIL_SENDER": "QuantLab <no-reply@quantlab.example>",
    "QUANTLAB_PUBLIC_URL": "http://127.0.0.1:1",
    "AWS_REGION": "us-east-1",
}
IMPORT: Final = """
import json, time
began = time.process_time()
import quantlab_edge.lambdas
took = time.process_time() - began
print(json.dumps(took * 1000))
"""


def run(code: Code, manifest: Manifest | None, program: str) -> Any:
    """Run a program where a function would run; return the JSON of its last line.

    RuntimeError with the end of what it said when it failed.
    """
    folders = [asset.folder / "python" for asset in code.layers.values()]
    function = {} if manifest is None else {"QUANTLAB_FUNCTION": identity(manifest)}
    if manifest is not None:
        folders.insert(0, code.functions[identity(manifest)].folder)
    start = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-I", "-S", "-B", "-c", start + program],
        env=ENVIRONMENT | function | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def modules_below(folder: Path) -> list[str]:
    """Return every module of a layer by its dotted name."""
    names = []
    for path in sorted((folder / "python").rglob("*.py")):
        parts = path.relative_to(folder / "python").with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names
