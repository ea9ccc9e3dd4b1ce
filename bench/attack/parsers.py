"""Mutated files for each reader of data, and mutated bodies for each parser of the service.

Each must end in a table or an answer, or in the error that it declares. `python -m bench.attack.parsers SECONDS SEED`
runs them in a process of its own, because a library in C may end it.
"""

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import json
import lzma
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.attack.mutations import change_bytes, change_tree, limited
from bench.attack.rows import Row
from contracts.errors import UserError
from contracts.settings.sections import Fetch
from contracts.settings.source import IDX_FILES, Source
from pipeline.sources.own_table import read_source
from pipeline.sources.readers import housing_digest, load_raw

ROOT = Path(__file__).parents[2]
SECONDS, BYTES = 10, 6 * 2**30  # seconds of computing for one case, and bytes of memory for all
TEXT = "a,b,y\n" + "".join(f"{n},x{n % 3},{n % 2}\n" for n in range(20))
Case = tuple[Callable[[bytes], Any], bytes, type[Exception]]


def run(seconds: float = 300, seed: int = 1) -> list[Row]:
    """Spend half of the time on files and half on bodies. A process that is ended by a signal or by its time limit is a
    failure.
    """
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        command = [sys.executable, "-m", "bench.attack.parsers", str(seconds), str(seed), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds * 2 + 120, check=False)
        if done.returncode:
            last = (Path(folder) / "last").read_text()
            return [Row("parsers", 1, [f"{last}: exit {done.returncode}, {done.stderr[-2000:]}"])]
    return [Row(*row) for row in json.loads(done.stdout)]


def attack(name: str, cases: dict[str, Case], seconds: float, seed: int, folder: Path) -> Row:
    """Change each case in turn until the time is over."""
    end, count, failures = time.monotonic() + seconds, 0, dict[str, str]()
    rng, at_half = random.Random(f"{seed} {name}"), None
    while time.monotonic() < end:
        if at_half is None and time.monotonic() > end - seconds / 2:
            at_half = psutil.Process().memory_info().rss
        for case, (read, content, declared) in cases.items():
            mutant = _mutant(content, rng)
            (folder / "last").write_text(f"{case}: {mutant[:300]!r}")
            count += 1
            try:
                with limited(SECONDS):
                    read(mutant)
            except declared:
                pass
            except Exception as error:
                (folder / "found").write_bytes(mutant)
                kind = f"{case}: {type(error).__name__}: {str(error)[:50]}"
                failures.setdefault(kind, f"{kind}: {mutant[:200]!r}")
    found = list(failures.values())[:20]
    growth = psutil.Process().memory_info().rss / at_half - 1 if at_half else 0.0
    found += [f"memory grew by {growth:.0%}"] * (growth > 0.05 and seconds >= 60)  # before, it still grows
    return Row(name, count, found, f"memory {growth:+.1%} in the second half")


def _mutant(content: bytes, rng: random.Random) -> bytes:
    """A change of the JSON document where the content is one, of the bytes, or their beginning."""
    if content.startswith(b"{") and rng.random() < 0.6:
        with contextlib.suppress(ValueError):
            document = json.loads(content)
            for _ in range(rng.randrange(1, 4)):
                change_tree(document, rng)
            return json.dumps(document).encode()
    return change_bytes(content, rng) if rng.random() < 0.8 else content[: rng.randrange(len(content))]


def file_cases(folder: Path) -> dict[str, Case]:
    """A small file of each format, for `read_source` and for the readers of downloads."""
    table = pa.table({"a": range(20), "b": list("xyz") * 6 + ["x", None], "y": [0, 1] * 10})
    parquet, packed = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", TEXT)
    text = TEXT.encode()
    contents = {
        "a.csv": text, "b.csv": TEXT.replace(",", ";").replace("1", "1,5").encode("cp1252"),
        "c.csv": TEXT.encode("utf-16"), "d.csv": b'a,y\n"x\ny",1\n2024-01-02,0\n', "a.csv.gz": gzip.compress(text),
        "a.csv.xz": lzma.compress(text), "a.csv.bz2": bz2.compress(text), "a.csv.zip": packed.getvalue(),
        "a.csv.zst": pa.compress(text, "zstd", asbytes=True), "a.parquet": parquet.getvalue(),
        "a.jsonl": b"".join(b'{"a": %d, "b": "x", "y": %d}\n' % (n, n % 2) for n in range(20)),
    }  # fmt: skip
    cases: dict[str, Case] = {
        name: (functools.partial(_read_own, folder / name), content, UserError) for name, content in contents.items()
    }
    arrays = [np.arange(48, dtype=np.uint8).reshape(4, 4, 3), np.arange(4, dtype=np.uint8)] * 2
    idx = {
        name: bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        for name, array in zip(IDX_FILES, arrays, strict=True)
    }
    for name, content in idx.items():
        cases[name] = (functools.partial(_read_idx, folder, idx, name), content, UserError)
    for kind, mode in (("tar", "w"), ("tgz", "w:gz")):
        archive_bytes, data = io.BytesIO(), b"1,2,3,4,5,6,7,8,9\n" * 3
        with tarfile.open(fileobj=archive_bytes, mode=mode) as archive:  # type: ignore[call-overload]
            member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        cases[f"housing.{kind}"] = (
            functools.partial(_read_housing, folder, kind), archive_bytes.getvalue(), UserError
        )  # fmt: skip
    cases["homes.csv"] = (functools.partial(_read_csv, folder), text, UserError)
    return cases


def _read_own(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read_source(Source(source=str(path), target="y"))


def _load(folder: Path, files: dict[str, bytes], hashes: dict[str, str], **settings: Any) -> None:
    """Read files that were downloaded before, so that no address is tried."""
    downloads = folder / "downloads" / "x"
    downloads.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (downloads / name).write_bytes(content)
    source = Source(addresses=(str(folder / "nowhere" / "{file}"),), files=hashes, **settings)
    load_raw("x", source, Fetch(timeout=1.0, attempts=1), downloads.parent)


def _read_idx(folder: Path, idx: dict[str, bytes], name: str, content: bytes) -> None:
    files = idx | {name: content}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    image = {"height": 4, "width": 3, "maximum": 255.0}
    packed = {name: gzip.compress(content) for name, content in files.items()}
    _load(folder, packed, hashes, source="idx", task="multiclass", image=image)


def _read_housing(folder: Path, kind: str, content: bytes) -> None:
    content = gzip.compress(content) if kind == "tar" else content
    (path := folder / "housing.tgz").write_bytes(content)
    digest = "0" * 64
    with contextlib.suppress(ValueError, OSError, EOFError, zlib.error):  # without a digest
        digest = housing_digest(path)
    _load(folder, {"housing.tgz": content}, {"housing.tgz": digest}, source="statlib_housing", task="regression")


def _read_csv(folder: Path, content: bytes) -> None:
    hashes = {"homes.csv": hashlib.sha256(content).hexdigest()}
    _load(folder, {"homes.csv": content}, hashes, source="csv", task="regression", target="y")


def body_cases(folder: Path) -> dict[str, Case]:
    """A body of each protocol and form, for the handlers of the routes."""
    sys.path.insert(0, str(ROOT / "tests/serving"))  # it has small bundles, without TensorFlow
    from apps import make_model
    from bundles import TICKETS, TILES
    from request_bodies import GOOD, IMAGE, ROUTES, request_body

    from serving.errors import Problem
    from serving.parsing.media_type import parse_media_type
    from serving.protocols.routes import predict_routes

    picture = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture, "PNG")
    png, jpeg = picture.getvalue(), io.BytesIO()
    Image.open(io.BytesIO(png)).save(jpeg, "JPEG")
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + png + b"\r\n--b--\r\n"
    line = b"age,fare paid,port,deck\n22,7.25,Southampton,\n"
    head = json.dumps({"inputs": [{"name": "image", "shape": [1, 8, 8], "datatype": "UINT8",
                                   "parameters": {"binary_data_size": 64}}]}).encode()  # fmt: skip
    tickets, tiles = make_model(TICKETS, folder / "tickets"), make_model(TILES, folder / "tiles")
    bodies: list[tuple[Any, str, str, bytes, str | None]] = [
        (tickets, "/predict", "text/csv", line, None), (tickets, "/invocations", "text/csv", line, None),
        (tiles, "/predict", "image/png", png, None), (tiles, "/predict", "image/jpeg", jpeg.getvalue(), None),
        (tiles, "/predict", "multipart/form-data; boundary=b", form, None),
        (tiles, "/v2/models/tiles/infer", "application/octet-stream", head + bytes(64),
         str(len(head))),
    ]  # fmt: skip
    for protocol, route in ROUTES.items():
        document = json.dumps(request_body(protocol, [list(GOOD.values())] * 2)).encode()
        bodies.append((tickets, route.format(m="tickets"), "application/json", document, None))
        if protocol in ("predict", "tensorflow"):
            images = json.dumps({"instances": [IMAGE] * 2}).encode()
            bodies.append((tiles, route.format(m="tiles"), "application/json", images, None))
    cases: dict[str, Case] = {}
    for model, path, media_type, body, json_length in bodies:
        route = next(route for route in predict_routes(model) if route.path == path)
        more = (json_length,) if route.takes_json_length else ()

        def answer(content: bytes, route=route, model=model, media_type=media_type, more=more) -> None:  # type: ignore[no-untyped-def]
            route.handler(model, content, parse_media_type(media_type.encode()), *more)

        answer(body)
        cases[f"{path} {media_type} {len(cases)}"] = (answer, body, Problem)
    return cases


def main(seconds: float, seed: int, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    warnings.simplefilter("ignore")  # NumPy warns about some files
    rows = [
        attack("parsers: files", file_cases(folder), seconds / 2, seed, folder),
        attack("parsers: bodies", body_cases(folder), seconds / 2, seed, folder),
    ]
    print(json.dumps(rows))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
