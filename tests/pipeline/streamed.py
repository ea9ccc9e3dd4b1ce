"""A table of every kind of column in files, and its datasets, read as a whole and streamed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.schema import load_schema
from contracts.settings.load import Params, Preprocess, Source, load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess

ROWS, BATCH = 2400, 250
STREAMED, WHOLE = 1e-9, 100.0  # GiB


def settings(memory: float, target: str = "y", preprocess: Preprocess | None = None, **source) -> Params:
    params = load_params(Path("params.yaml"), "iris")
    params = params.model_copy(update={"preprocess": preprocess or params.preprocess})
    changed = {"dataset": "mine", "source": Source(source="rows", target=target).model_copy(update=source)}
    return params.model_copy(update={**changed, "fetch": params.fetch.model_copy(update={"memory": memory})})


def mixed(n: int = ROWS) -> pd.DataFrame:
    r = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(r.integers(0, 900, n), "D")
    return pd.DataFrame({
        "size": r.normal(10, 3, n), "rooms": r.integers(1, 9, n),
        "gaps": np.where(r.random(n) < 0.2, np.nan, r.integers(0, 99, n).astype(float)),
        "city": r.choice(["Rome", "Oslo, North", "Bonn"], n), "one": 7, "id": np.arange(n),
        "many": [f"m{i}" for i in (r.random(n) ** 3 * 400).astype(int)], "day": days.strftime("%d/%m/%Y"),
        "price": [f"${cents / 100:,.2f}" for cents in r.integers(0, 10**6, n)],
        "code": [f"{i:05}" for i in r.integers(0, 50, n)],
        "text": [f"a note on item {i} of {n}" for i in range(n)], "group": r.integers(0, 40, n),
        "y": r.choice(["no", "yes", "rare"], n, p=[0.6, 0.37, 0.03]),
    })  # fmt: skip


def write_csv(frame: pd.DataFrame, parts: int = 3) -> None:
    Path("rows").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), parts)):
        frame.iloc[part].to_csv(f"rows/part{number:02}.csv", index=False)


def write_parquet(frame: pd.DataFrame, parts: int = 3) -> None:
    Path("rows").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), parts)):
        pq.write_table(pa.Table.from_pandas(frame.iloc[part], preserve_index=False), f"rows/part{number:02}.parquet")


def run_both(**source) -> tuple[Paths, Paths]:
    """The files of the same rows, read as a whole and streamed."""
    both = []
    for name, gib in {"whole": WHOLE, "streamed": STREAMED}.items():
        paths = Paths("mine", root=Path(name))
        fetch.run(settings(gib, **source), paths)
        preprocess.run(settings(gib, **source), paths)
        both.append(paths)
    return both[0], both[1]


def assert_same(whole: Paths, streamed: Paths) -> None:
    for folder, names in ((Paths.raw, ["data"]), (Paths.prepared, ["train", "validation", "test"])):
        for name in names:
            first, second = (folder.__get__(paths) / f"{name}.parquet" for paths in (whole, streamed))
            expected, found = pq.read_table(first), pq.read_table(second)
            assert found.schema.equals(expected.schema, check_metadata=True)
            assert found.equals(expected), name
            groups = pq.read_metadata(second)
            assert all(groups.row_group(number).num_rows <= BATCH for number in range(groups.num_row_groups))
    first, second = (load_schema(paths.prepared / "schema.json") for paths in (whole, streamed))
    assert second.model_copy(update={"raw_md5": ""}) == first.model_copy(update={"raw_md5": ""})
    assert (whole.raw / "source.json").read_text() == (streamed.raw / "source.json").read_text()
    left = {path.name for paths in (streamed.raw, streamed.prepared) for path in paths.iterdir()}
    parts = {"train.parquet", "validation.parquet", "test.parquet"}
    assert left == {"data.parquet", "source.json", "schema.json", "warnings.json"} | parts
