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
from contracts.settings.source import IDX_FILES
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


def archive_of(*members: tuple[str, bytes, bytes | str], mode: str = "w:gz") -> bytes:
    """An archive with members of a name, a type, and the content or the name that a link leads to."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content
                archive.addfile(member)
    return packed.getvalue()


DATA = "CaliforniaHousing/cal_housing.data"


@pytest.mark.parametrize(
    "first",
    [
        b"no archive at all",
        archive_of(("other", tarfile.REGTYPE, b"1,2")),
        archive_of((DATA, tarfile.SYMTYPE, "cal_housing.data")),
        archive_of((DATA, tarfile.LNKTYPE, DATA)),
        archive_of((DATA, tarfile.REGTYPE, b"0," * 10_000_000)),
        archive_of(("before", tarfile.REGTYPE, bytes(20_000_000)), (DATA, tarfile.REGTYPE, b"1,2")),
        gzip.compress(archive_of((DATA, tarfile.REGTYPE, b"1,2"))),
    ],
    ids=["no archive", "no member", "a link to itself", "a hard link to itself", "a bomb", "a bomb before", "nested"],
)
def test_after_a_bad_archive_the_next_address_is_tried(tmp_path: Path, monkeypatch, first: bytes) -> None:
    numbers = np.arange(18.0).reshape(2, 9) + 1
    put(tmp_path / "mirror", "homes", "cal_housing.tgz", first)
    put(tmp_path, "second", "cal_housing.tgz", housing_archive(numbers, "%.4f"))
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    source = Source(
        source="statlib_housing", task="regression", addresses=(str(tmp_path / "second/{file}"),),
        files={"cal_housing.tgz": sha256(numbers.astype("<f8").tobytes())},
    )  # fmt: skip
    assert load_raw("homes", source, FETCH, tmp_path / "downloads").num_rows == 2


def test_a_bad_archive_is_refused_where_there_is_no_other_address(tmp_path: Path, monkeypatch) -> None:
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


@pytest.mark.parametrize("fault", ["a label too many", "a class too many", "another size", "cut off"])
def test_idx_files_that_do_not_fit_are_refused(tmp_path: Path, fault: str) -> None:
    images, labels = np.zeros((2, 4, 3), np.uint8), np.zeros(2, np.uint8)
    bad_labels = np.zeros(3, np.uint8) if fault == "a label too many" else labels + 9 * (fault == "a class too many")
    bad_images = images.reshape(2, 3, 4) if fault == "another size" else images
    contents = [idx(bad_images), idx(bad_labels), idx(images), idx(labels)]
    if fault == "cut off":
        contents[0] = gzip.compress(gzip.decompress(contents[0])[:-1])
    for name, content in zip(IDX_FILES, contents, strict=True):
        put(tmp_path, "clothes", name, content)
    source = Source(
        source="idx", task="multiclass", classes=("shirt", "shoe"), image={"height": 4, "width": 3, "maximum": 255.0},
        addresses=("http://127.0.0.1:1/{file}",),
        files={name: sha256(gzip.decompress(c)) for name, c in zip(IDX_FILES, contents, strict=True)},
    )  # fmt: skip
    told = "labels-idx1-ubyte.gz: expected 2 labels below 2" if "many" in fault else r"in examples of shape \(4, 3\)"
    with pytest.raises(UserError, match=told):
        load_raw("clothes", source, FETCH, tmp_path)


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
