"""Readers: each named source as one table with one row per example."""

import gzip
import hashlib
import io
import math
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.errors import UserError
from contracts.settings.load import Fetch, Source
from pipeline.sources.decompression import read_chunks
from pipeline.sources.download import content_digest, fetch_file
from pipeline.tables import IMAGE, IS_TEST, TARGET, images_to_column

MOST_HOUSING = 16 * 2**20  # bytes of the archive of California housing, which has 2 MiB


def load_raw(dataset: str, source: Source, fetch: Fetch, downloads: Path) -> pa.Table:
    """All rows of a dataset: its features, or `image`; `target`; and `is_test` if the source has its own test rows.

    Args:
        downloads: folder for verified files; what is there already is not fetched again.

    Raises:
        UserError: if a file cannot be fetched, or has another content.
    """
    digest = housing_digest if source.source == "statlib_housing" else content_digest
    mirror = os.environ.get("DATA_MIRROR")
    files = {}
    for name, sha256 in source.files.items():
        sources = [address.replace("{file}", name) for address in source.addresses]
        if mirror:
            sources.insert(0, f"{mirror.rstrip('/')}/{dataset}/{name}")
        files[name] = fetch_file(
            name, sha256, downloads / dataset / name, sources, fetch.timeout, fetch.attempts, digest
        )
    match source.source:
        case "scikit-learn":
            return _scikit_learn(dataset, source)
        case "idx":
            return _idx(files, source)
        case "statlib_housing":
            return _statlib_housing(next(iter(files.values())))
        case "csv":
            return _csv(next(iter(files.values())), source)


def _scikit_learn(dataset: str, source: Source) -> pa.Table:
    from sklearn import datasets

    if dataset == "digit_properties":
        return _digit_properties(datasets.load_digits())
    loaded = getattr(datasets, f"load_{dataset}")(**({"scaled": False} if dataset == "diabetes" else {}))
    if loaded.target.ndim > 1:
        rows = [dict(zip(loaded.target_names, row, strict=True)) for row in loaded.target.tolist()]
        table = pa.Table.from_pandas(pd.DataFrame(loaded.data, columns=loaded.feature_names), preserve_index=False)
        return table.append_column(TARGET, pa.array(rows))
    target = loaded.target if source.task == "regression" else loaded.target_names[loaded.target].astype(str)
    if source.image is not None:
        return _image_table(loaded.images.astype(np.uint8), target)
    table = pd.DataFrame(loaded.data, columns=list(loaded.feature_names)).assign(**{TARGET: target})
    return pa.Table.from_pandas(table, preserve_index=False)


def _digit_properties(digits: Any) -> pa.Table:
    """scikit-learn's digits with several labels: properties of the digit."""
    properties = {"even": {0, 2, 4, 6, 8}, "prime": {2, 3, 5, 7}, "above four": {5, 6, 7, 8, 9}, "loop": {0, 6, 8, 9}}
    rows = [{name: digit in members for name, members in properties.items()} for digit in digits.target.tolist()]
    return _image_table(digits.images.astype(np.uint8), rows)


def _image_table(images: np.ndarray, labels: Any) -> pa.Table:
    return pa.table({IMAGE: images_to_column(images), TARGET: pa.array(labels)})


def _idx(files: dict[str, Path], source: Source) -> pa.Table:
    """The format of MNIST: a magic number, big-endian sizes, then bytes (yann.lecun.com/exdb/mnist)."""
    parts = []
    names = np.array(source.classes or [str(digit) for digit in range(10)])
    assert source.image is not None
    for prefix, is_test in (("train", False), ("t10k", True)):
        images = _read_idx(files[f"{prefix}-images-idx3-ubyte.gz"], (source.image.height, source.image.width))
        labels = _read_idx(files[f"{prefix}-labels-idx1-ubyte.gz"], ())
        if len(labels) != len(images) or max(labels, default=0) >= len(names):
            raise UserError(f"{prefix}-labels-idx1-ubyte.gz: expected {len(images)} labels below {len(names)}")
        part = _image_table(images, names[labels])
        parts.append(part.append_column(IS_TEST, pa.array(np.full(len(labels), is_test))))
    return pa.concat_tables(parts)


def _read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The examples of a file, each of this shape."""
    content, start = gzip.decompress(path.read_bytes()), 8 + 4 * len(shape)
    head = content[:start]
    expected = bytes((0, 0, 8, 1 + len(shape))) + head[4:8] + b"".join(size.to_bytes(4, "big") for size in shape)
    count = int.from_bytes(head[4:8], "big")
    if head != expected or len(content) - start != count * math.prod(shape):
        raise UserError(f"{path.name}: expected bytes in the idx format, in examples of shape {shape}, received others")
    return np.frombuffer(content, np.uint8, offset=start).reshape(count, *shape)


def _housing_numbers(path: Path) -> np.ndarray:
    """The 9 columns of StatLib's California housing (Pace and Barry, 1997), shape (20640, 9)."""
    try:
        with gzip.open(path) as file:
            content = b"".join(read_chunks(file.read, path.stat().st_size, MOST_HOUSING))
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            member = archive.getmember("CaliforniaHousing/cal_housing.data")
            # A link may lead to itself, and a sparse file may be larger than its archive.
            is_data = member.isreg() and member.size <= len(content)
            data = archive.extractfile(member) if is_data else None
            if data is None:
                raise ValueError("no data in the archive")
            return np.loadtxt(data, delimiter=",", ndmin=2)
    except (tarfile.TarError, KeyError) as error:
        raise ValueError(str(error)) from None


def housing_digest(path: Path) -> str:
    """The sha256 of the numbers, rounded to their four decimals: mirrors write the same numbers in other formats."""
    return hashlib.sha256(_housing_numbers(path).round(4).astype("<f8").tobytes()).hexdigest()


def _statlib_housing(path: Path) -> pa.Table:
    """Features as scikit-learn's `fetch_california_housing` derives them; target in $100,000."""
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = _housing_numbers(path).T
    table = {
        "MedInc": income,
        "HouseAge": age,
        "AveRooms": rooms / households,
        "AveBedrms": bedrooms / households,
        "Population": population,
        "AveOccup": population / households,
        "Latitude": latitude,
        "Longitude": longitude,
        TARGET: value / 100_000,
    }
    return pa.table(table)


def _csv(path: Path, source: Source) -> pa.Table:
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # pandas' own errors too
        raise UserError(f"{path.name} is not a CSV file: {str(error).strip().splitlines()[0]}") from None
    (target,) = source.targets
    if target not in table:
        raise UserError(f"{path.name}: expected a column {target!r}, received {', '.join(table.columns)}")
    return pa.Table.from_pandas(table.rename(columns={target: TARGET}), preserve_index=False)
