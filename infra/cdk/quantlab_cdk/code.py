"""What goes into the assets of our own code: the layers, and each function's few files."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from quantlab_cdk.bytecode import compile_tree, matching_python
from quantlab_cdk.places import BUILD, FUNCTIONS, LAYERS, OPENAPI, settle
from quantlab_cdk.stage import Stage
from quantlab_cdk.vendor import vendor_layer
from quantlab_manifest import Manifest

UNPACKED_BYTES_MAX: Final = 250 * 1024 * 1024
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "core": ("quantlab",),
    "app": ("quantlab_app",),
    "platform": ("quantlab_adapters", "quantlab_edge"),
}
# Backtests and compiled strategies run in containers, never in a Lambda.
LEFT_OUT: Final = (
    "quantlab/backtest",
    "quantlab/live/block.py",
    "quantlab/live/joining.py",
    "quantlab/live/running.py",
    "quantlab/qls/native",
    "quantlab_adapters/backtest_data",
    "quantlab_edge/backtest.py",
)
CONFIG_FILES: Final = (
    "instruments.json",
    "tenant.schema.json",
    "profiles/*.json",
    "calendars/*.json",
)
CONFIGS_DOCSTRING: Final = (
    '"""The instrument catalogue, the rule profiles and the tenant schema."""\n'
)
FORMAT: Final = 1
# A tenth larger than the best zlib can do, in a sixth of the time.
PACKED_QUICKLY: Final = 1
READABLE: Final = 0o100644


class TooLargeError(Exception):
    """A function that Lambda would refuse."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A folder to upload, and a name for exactly this content."""

    folder: Path
    digest: str

    @property
    def unpacked_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def packed(self) -> Path:
        """Return the archive of the folder, made once: the CDK would make it at each deployment."""
        archive = self.folder.with_name(f"{self.folder.name}.zip")
        if not archive.exists():
            made = archive.with_suffix(f".{os.getpid()}")
            _pack(self.folder, made)
            made.replace(archive)
        return archive


@dataclass(frozen=True, slots=True)
class Code:
    """The assets of a stage: layers by name, functions by kind/name."""

    layers: Mapping[str, Asset]
    functions: Mapping[str, Asset]

    def layer_bytes(self) -> int:
        return sum(layer.unpacked_bytes for layer in self.layers.values())


def gather(manifests: Sequence[Manifest], stage: Stage) -> Code:
    """Make every asset of a stage, or find it as it was made before."""
    wanted = {
        f"layer-{name}": _layer_files(name, packages, stage.configs)
        for name, packages in PACKAGES.items()
    }
    wanted |= {
        f"{manifest.kind}-{manifest.name}": _function_files(manifest) for manifest in manifests
    }
    made = _made(wanted, stage.python)
    vendor = vendor_layer(stage.python, stage.platform)
    code = Code(
        layers={name: made[f"layer-{name}"] for name in PACKAGES}
        | {"vendor": Asset(vendor, vendor.name.removeprefix("vendor-"))},
        functions={identity(m): made[f"{m.kind}-{m.name}"] for m in manifests},
    )
    check_sizes(code)
    return code


def identity(manifest: Manifest) -> str:
    """Return a function's kind and name in one word, as QUANTLAB_FUNCTION carries it."""
    return f"{manifest.kind}/{manifest.name}"


def check_sizes(code: Code) -> None:
    """Refuse what Lambda would refuse: a function and its layers, unpacked, are too large."""
    shared = code.layer_bytes()
    for name, asset in code.functions.items():
        total = shared + asset.unpacked_bytes
        if total > UNPACKED_BYTES_MAX:
            raise TooLargeError(f"{name}: expected at most {UNPACKED_BYTES_MAX} bytes, got {total}")


def _layer_files(name: str, packages: tuple[str, ...], configs: Path) -> dict[str, bytes]:
    root = LAYERS / name / "python"
    files = {
        f"python/{path.relative_to(root)}": path.read_bytes()
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if not any(path.is_relative_to(root / left_out) for left_out in LEFT_OUT)
    }
    if name == "platform":
        files |= {
            f"python/quantlab_configs/{path.relative_to(configs)}": path.read_bytes()
            for pattern in CONFIG_FILES
            for path in sorted(configs.glob(pattern))
        }
        files["python/quantlab_configs/__init__.py"] = CONFIGS_DOCSTRING.encode()
        files["python/quantlab_configs/openapi.json"] = OPENAPI.read_bytes()
    return files


def _function_files(manifest: Manifest) -> dict[str, bytes]:
    folder = FUNCTIONS / manifest.kind / manifest.name
    packages = (FUNCTIONS, folder.parent)
    paths = [package / "__init__.py" for package in packages]
    paths += sorted(folder.rglob("*.py"))
    paths.append(folder / "function.toml")
    root = FUNCTIONS.parent
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.exists()}


def _made(wanted: Mapping[str, Mapping[str, bytes]], python: str) -> dict[str, Asset]:
    assets = {name: _asset(name, files, python) for name, files in wanted.items()}
    missing = {name: asset for name, asset in assets.items() if not asset.folder.is_dir()}
    if missing:
        BUILD.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=BUILD) as scratch:
            for name in missing:
                _write(Path(scratch) / name, wanted[name])
            compile_tree(Path(scratch), python)
            for name, asset in missing.items():
                settle(Path(scratch) / name, asset.folder)
    return assets


def _asset(name: str, files: Mapping[str, bytes], python: str) -> Asset:
    digest = hashlib.sha256(f"{FORMAT} {python} {matching_python(python) is None}".encode())
    for path, content in sorted(files.items()):
        digest.update(f"\0{path}\0{len(content)}\0".encode() + content)
    version = python.replace(".", "")  # what follows a dot would be taken for a file's kind
    return Asset(BUILD / f"{name}-py{version}-{digest.hexdigest()[:20]}", digest.hexdigest())


def _pack(folder: Path, archive: Path) -> None:
    with ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                member = ZipInfo(str(path.relative_to(folder)))  # of 1980, whenever it is made
                member.external_attr = READABLE << 16
                packed.writestr(member, path.read_bytes(), ZIP_DEFLATED, PACKED_QUICKLY)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
