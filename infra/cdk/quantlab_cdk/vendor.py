"""The vendor layer: what Lambdas import of the lock file, for the platform and Python of a stage.

Made without a container engine, and kept under build/ by what it was made from.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from quantlab_cdk.bytecode import compile_tree, matching_python
from quantlab_cdk.places import BUILD, ROOT, settle, uv

# Direct dependencies that Lambda code imports; what these need comes along. The other ones belong
# to workers, to the server or to the command line.
KEEP: Final = frozenset(
    {
        "argon2-cffi",
        "aws-lambda-powertools",
        "boto3",
        "cryptography",
        "fastapi",
        "httpx",
        "jsonschema",
        "mangum",
        "orjson",
        "prometheus-client",
        "psycopg",
        "pydantic",
        "pyjwt",
        "pyotp",
        "python-multipart",
        "redis",
        "sniffio",
        "structlog",
        "tzdata",
    }
)
SERVICES: Final = frozenset(
    {"apigatewaymanagementapi", "events", "s3", "secretsmanager", "sesv2", "sqs", "sts"}
)
UNUSED: Final = ("bin", ".lock", "**/tests", "**/*.pyi", "**/*.c", "**/*.h", "boto3/examples")
FORMAT: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


class VendorError(Exception):
    """The vendor layer cannot be made."""


def vendor_layer(python: str, platform: str | None) -> Path:
    """Return the folder of the layer, made now unless the same one is there already.

    platform is uv's name of the machines it is for; none means this one.
    """
    folder = BUILD / f"vendor-{_key(python, platform)}"
    if folder.is_dir():
        return folder
    BUILD.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as scratch:
        made = Path(scratch) / "layer"
        _install(made / "python", python, platform)
        _trim(made / "python")
        compile_tree(made, python)
        settle(made, folder)
    return folder


def pruned() -> tuple[str, ...]:
    """Return the direct dependencies that Lambdas do without."""
    direct = _direct()
    unknown = sorted(KEEP - direct)
    if unknown:
        raise VendorError(f"expected direct dependencies, got {', '.join(unknown)}")
    return tuple(sorted(direct - KEEP))


def _key(python: str, platform: str | None) -> str:
    compiled_by = matching_python(python) is not None
    choices = [FORMAT, python, platform, pruned(), sorted(SERVICES), UNUSED, compiled_by]
    lock = (ROOT / "uv.lock").read_bytes()
    return hashlib.sha256(lock + json.dumps(choices).encode()).hexdigest()[:20]


def _direct() -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines: Iterable[str] = (
        *project["project"]["dependencies"],
        *project["dependency-groups"]["aws"],
    )
    return frozenset(match[0].lower() for line in lines if (match := _NAME.match(line)))


def _install(target: Path, python: str, platform: str | None) -> None:
    requirements = target.parent.parent / "requirements.txt"
    export = ["export", "--quiet", "--frozen", "--no-dev", "--group", "aws", "--no-emit-project"]
    for name in pruned():
        export += ["--prune", name]
    _uv(*export, "--output-file", str(requirements))
    install = ["pip", "install", "--quiet", "--target", str(target), "--python-version", python]
    if platform is not None:
        install += ["--python-platform", platform]
    install += ["--only-binary", ":all:", "--require-hashes", "--no-deps"]
    _uv(*install, "--requirements", str(requirements))


def _trim(folder: Path) -> None:
    for pattern in UNUSED:
        for path in tuple(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for service in (folder / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)


def _uv(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - uv of this repository
        [uv(), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise VendorError(f"uv {' '.join(arguments[:2])}: {done.stderr.strip()}")
