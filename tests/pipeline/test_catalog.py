"""Every source is read as one table; the downloaded ones from a small mirror that the tests write."""

import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import UserError
from contracts.settings.load import Fetch, Source, load_params
from pipeline.sources.readers import load_raw
from pipeline.tables import IMAGE, IS_TEST, TARGET, column_to_images

REAL = Path(__file__).parent.parent.parent / "params.yaml"
FETCH = Fetch(timeout=5.0, attempts=1)


@pytest.mark.parametrize(
    ("dataset", "rows", "columns", "targets"),
    [
        ("iris", 150, 5, {"setosa", "versicolor", "virginica"}),
        ("digits", 1797, 2, set("0123456789")),
        ("breast_cancer", 569, 31, {"malignant", "benign"}),
        ("wine", 178, 14, {"class_0", "class_1", "class_2"}),
        ("diabetes", 442, 11, None),
    ],
)
def test_embedded_datasets_need_no_network(dataset: str, rows: int, columns: int, targets, tmp_path: Path) -> None:
    table = load_raw(dataset, load_params(REAL, dataset).source, FETCH, tmp_path)
    assert (table.num_rows, table.num_columns) == (rows, columns)
    if targets:
        assert set(table[TARGET].to_pylist()) == targets
    assert list(tmp_path.iterdir()) == []


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the format of MNIST."""
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def put(mirror: Path, dataset: str, name: str, content: bytes) -> None:
    (mirror / dataset).mkdir(parents=True, exist_ok=True)
    (mirror / dataset / name).write_bytes(content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_idx_files_become_images_labels_and_the_official_test_rows(tmp_path: Path, monkeypatch) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte.gz": generator.integers(0, 256, (7, 4, 3), dtype=np.uint8),
        "train-labels-idx1-ubyte.gz": np.array([0, 1, 2, 0, 1, 2, 0], dtype=np.uint8),
        "t10k-images-idx3-ubyte.gz": generator.integers(0, 256, (2, 4, 3), dtype=np.uint8),
        "t10k-labels-idx1-ubyte.gz": np.array([2, 1], dtype=np.uint8),
    }
    for name, array in arrays.items():
        put(tmp_path / "mirror", "clothes", name, idx(array))
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    source = Source(
        source="idx", task="multiclass", classes=("shirt", "shoe", "bag"),
        image={"height": 4, "width": 3, "maximum": 255.0}, addresses=("http://127.0.0.1:1/{file}",),
        files={name: sha256(gzip.decompress(idx(array))) for name, array in arrays.items()},
    )  # fmt: skip
    table = load_raw("clothes", source, FETCH, tmp_path / "downloads")
    images = column_to_images(table[IMAGE], 4, 3)
    np.testing.assert_array_equal(images[:7], arrays["train-images-idx3-ubyte.gz"])
    np.testing.assert_array_equal(images[7:], arrays["t10k-images-idx3-ubyte.gz"])
    assert table[TARGET].to_pylist() == ["shirt", "shoe", "bag", "shirt", "shoe", "bag", "shirt", "bag", "shoe"]
    assert table[IS_TEST].to_pylist() == [False] * 7 + [True] * 2


def housing_archive(numbers: np.ndarray, spelling: str) -> bytes:
    text = "\n".join(",".join(spelling % value for value in row) for row in numbers).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@pytest.mark.parametrize("spelling", ["%.6f", "%.10e"])
def test_housing_is_verified_by_its_numbers_in_any_format(tmp_path: Path, monkeypatch, spelling: str) -> None:
    numbers = np.array(
        [[-122.23, 37.88, 41, 880, 129, 322, 126, 8.3252, 452600], [-122, 37, 21, 7099, 1106, 2401, 1138, 8, 3e5]]
    )
    put(tmp_path / "mirror", "homes", "cal_housing.tgz", housing_archive(numbers, spelling))
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    source = Source(
        source="statlib_housing", task="regression", addresses=("http://127.0.0.1:1/",),
        files={"cal_housing.tgz": sha256(numbers.round(4).astype("<f8").tobytes())},
    )  # fmt: skip
    table = load_raw("homes", source, FETCH, tmp_path / "downloads").to_pylist()
    assert table[0]["AveRooms"] == pytest.approx(880 / 126)
    assert table[0]["AveOccup"] == pytest.approx(322 / 126)
    assert [row[TARGET] for row in table] == pytest.approx([4.526, 3.0])
    assert (table[1]["Latitude"], table[1]["Longitude"], table[1]["MedInc"]) == (37, -122, 8)


def test_an_archive_without_its_member_is_refused(tmp_path: Path, monkeypatch) -> None:
    put(tmp_path / "mirror", "homes", "cal_housing.tgz", b"no archive at all")
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    source = Source(
        source="statlib_housing",
        task="regression",
        addresses=("http://127.0.0.1:1/",),
        files={"cal_housing.tgz": "0" * 64},
    )
    with pytest.raises(UserError, match=r"cal_housing\.tgz could not be fetched"):
        load_raw("homes", source, FETCH, tmp_path / "downloads")


def csv_source(content: bytes, target: str) -> Source:
    return Source(
        source="csv", task="regression", target=target, addresses=("http://127.0.0.1:1/{file}",),
        files={"homes.csv": sha256(content)},
    )  # fmt: skip


def test_a_csv_keeps_missing_values_and_names_its_target(tmp_path: Path, monkeypatch) -> None:
    content = b"rooms,near,price\n3,sea,10\n,inland,20\n"
    put(tmp_path / "mirror", "homes", "homes.csv", content)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    table = load_raw("homes", csv_source(content, "price"), FETCH, tmp_path / "downloads")
    assert table.column_names == ["rooms", "near", TARGET]
    assert table["rooms"].null_count + int(np.isnan(table["rooms"].to_numpy()).sum()) >= 1


def test_a_csv_without_its_target_is_told_with_its_columns(tmp_path: Path, monkeypatch) -> None:
    content = b"rooms,price\n3,10\n"
    put(tmp_path / "mirror", "homes", "homes.csv", content)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(UserError, match="expected a column 'cost', received rooms, price"):
        load_raw("homes", csv_source(content, "cost"), FETCH, tmp_path / "downloads")
