"""A table that is streamed becomes the same files as one that is read as a whole; what cannot be read is named."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.schema import DateFeature, NumericFeature, load_schema
from contracts.settings.load import Params, Preprocess, Source, load_params
from contracts.settings.source import Split
from pipeline import resources
from pipeline.data.partition import divide
from pipeline.paths import Paths
from pipeline.sources.own_table import read_source
from pipeline.stages import fetch, preprocess
from pipeline.streaming.needs import check_stream
from pipeline.streaming.text_counts import Counts
from pipeline.tables import TARGET

ROWS, BATCH = 2400, 250
STREAMED, WHOLE = 1e-9, 100.0  # GiB


@pytest.fixture(autouse=True)
def small_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pipeline.tables", "pipeline.sources.streaming.parquet"):
        monkeypatch.setattr(f"{module}.BATCH", BATCH)
    monkeypatch.setattr("pipeline.sources.streaming.text.BLOCK", 20_000)
    monkeypatch.setattr("pipeline.stages.preprocess.check_stream", lambda *_: None)  # no table is that small


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.stages.preprocess.write_report", lambda *_: [])


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
    left = {path.name for paths in (streamed.raw, streamed.prepared) for path in paths.iterdir()}
    parts = {"train.parquet", "validation.parquet", "test.parquet"}
    assert left == {"data.parquet", "source.json", "schema.json", "warnings.json"} | parts


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_streamed_files_are_those_of_the_whole_table_bit_for_bit(write: Callable, capsys) -> None:
    write(mixed())
    whole, streamed = run_both()
    assert_same(whole, streamed)
    said = capsys.readouterr().out
    assert re.search(
        r"mine: streamed in batches: about 0.00\d+ GiB as a whole, more than fetch.memory, 1e-09 GiB", said
    )
    assert re.search(r"mine: read as a whole: about 0.00\d+ GiB as a whole, no more than fetch.memory, 100 GiB", said)
    assert (whole.prepared / "warnings.json").read_text() == (streamed.prepared / "warnings.json").read_text()


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "source",
    [
        {"split": {"by": "time", "column": "day"}},
        {"split": {"by": "group", "column": "group"}},
        {"split": {"by": "column", "column": "part"}},
        {"test_source": "later.csv"},
        {"target": "size", "columns": {"city": ["Bonn", "Rome", "Oslo, North"], "code": "number", "many": "drop"}},
        {"target": "rooms", "weight": "group", "max_categories": 20},
    ],
    ids=["time", "group", "column", "test rows", "regression, roles", "integer classes, weights"],
)
def test_each_rule_and_role_gives_the_same_rows_and_constants(source: dict) -> None:
    frame = mixed()
    frame["part"] = np.random.default_rng(1).choice(["train", "validation", "test"], ROWS)
    frame["calm"] = np.where(frame["part"] == "test", np.nan, frame["size"] / 2)  # no train row lacks it
    write_csv(frame)
    frame.iloc[:300].to_csv("later.csv", index=False)
    source = Source.model_validate({"source": "rows", "target": "y", **source})
    assert_same(*run_both(**{name: getattr(source, name) for name in source.model_fields_set}))


@pytest.mark.usefixtures("no_report")
def test_constants_are_those_of_all_rows_where_bins_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.parts.SAMPLE", 1000)
    monkeypatch.setattr("pipeline.streaming.columns.HEAD", 10)
    frame = mixed().assign(seldom=np.arange(ROWS) % 9)
    frame["seldom"] = frame["seldom"].astype("Int64").mask(np.arange(ROWS) == 2001)
    write_parquet(frame)
    whole, streamed = (load_schema(paths.prepared / "schema.json") for paths in run_both())
    assert whole.sample == streamed.sample
    assert str(whole.sample["seldom"]) == str(streamed.sample["seldom"])
    for expected, found in zip(whole.features, streamed.features, strict=True):
        if isinstance(expected, NumericFeature) and isinstance(found, NumericFeature):
            assert found.quantiles != expected.quantiles or len(expected.quantiles) < 49
            assert found.quantiles[0] >= expected.quantiles[0]
            same = {"quantiles": (), "tree_bins": ()}
            assert found.model_copy(update=same) == expected.model_copy(update=same)
        elif not isinstance(expected, DateFeature):
            assert found == expected


@pytest.mark.usefixtures("no_report")
def test_the_rows_of_a_class_are_train_rows_where_it_would_have_none() -> None:
    frame = mixed()
    frame["y"] = np.where(np.arange(ROWS) < 3, "alone", "usual")
    write_csv(frame)
    known = settings(WHOLE)
    table = read_source(known.source).table
    seeds = (known.preprocess.model_copy(update={"seed": seed}) for seed in range(200))
    without = next(s for s in seeds if "alone" in str(divide(table, known.source, s, by_class=True)[1]))
    whole, streamed = run_both(preprocess=without)
    assert_same(whole, streamed)
    assert "alone" in pq.read_table(streamed.prepared / "train.parquet")[TARGET].to_pylist()


@pytest.mark.usefixtures("no_report")
def test_an_empty_part_gets_the_group_with_the_lowest_share() -> None:
    frame = mixed()
    frame["group"] = np.arange(ROWS) % 3
    write_csv(frame[["group", "y"]])
    assert_same(*run_both(split=Split(by="group", column="group"), columns={"group": "category"}))


BAD: dict[str, tuple[dict[str, str], dict, str]] = {
    "other columns": ({"a.csv": "a,b,y\n1,2,0\n", "b.csv": "a,c,y\n1,2,0\n"}, {},
                      "b.csv: expected the columns of .*a.csv, different are b, c"),
    "no target in one part": ({"a.csv": "a,y\n1,0\n", "b.csv": "a\n1\n"}, {}, "b.csv: expected .* different are y"),
    "no target at all": ({"a.csv": "a,yy\n1,0\n"}, {}, "data.target: expected a column of rows, received 'y'"),
    "an empty part": ({"a.csv": "a,y\n1,0\n", "b.csv": ""}, {}, "b.csv is empty: expected a header line"),
    "a part without rows": ({"a.csv": "a,y\n1,0\n", "b.csv": "a,y\n"}, {}, "b.csv has a header and no rows"),
    "another file": ({"a.csv": "a,y\n1,0\n", "notes.json": "{}"}, {}, "notes.json: expected"),
    "ragged": ({"a.csv": "a,y\n" + "1,0\n" * 7000 + "1,2,3\n" + "1,0\n" * 9, "b.csv": "a,y\n1,0\n"}, {},
               "a.csv: expected 2 fields in every line as in the header, received:\n  line 7002: 3 fields"),
    "quoted line ends before": ({"a.csv": 'a,y\n' + '"1\n2",0\n' * 3000 + "1\n"}, {}, "line 6002: 1 fields"),
    "open quote": ({"a.csv": "a,y\n" + "1,0\n" * 900 + '2,"0\n'}, {}, "a.csv: line .*quotation mark not closed"),
    "another encoding": ({"a.csv": "a,y\n" + "1,0\n" * 300_000 + "\udce9,0\n"}, {}, "a.csv: line 300002 is not utf-8"),
    "text in numbers": ({"a.csv": "a,y\n" + "1,0\n" * 900, "b.csv": "a,y\n" + "1,0\n" * 900 + "x,0\n"},
                        {"columns": {"a": "number"}}, "a: expected numbers, received 'x' in row 1801"),
    "infinite": ({"a.csv": "a,y\n" + "1.5,0\n" * 9000 + "inf,1\n"}, {},
                 "a: expected finite numbers, received inf in row 9001"),
    "no class of an order": ({"a.csv": "a,y\n" + "S,0\n" * 9000 + "L,1\n"}, {"columns": {"a": ("S", "M")}},
                             "a: expected S, M, received 'L' in row 9001"),
    "two targets": ({"a.csv": "a,y,z\n1,0,1\n"}, {"target": ("y", "z")}, "data.target: expected one column"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "source", "message"), BAD.values(), ids=BAD.keys())
def test_bad_text_is_refused_by_name_and_nothing_is_left(files: dict[str, str], source: dict, message: str) -> None:
    Path("rows").mkdir()
    for name, content in files.items():
        Path("rows", name).write_bytes(content.encode("utf-8", "surrogateescape"))
    paths = Paths("mine")
    paths.raw.mkdir(parents=True)
    (paths.raw / "data.parquet").write_text("what was there before")
    with pytest.raises(UserError, match=message):
        fetch.run(settings(STREAMED, **source), paths)
    assert [path.name for path in paths.raw.iterdir()] == ["data.parquet"]
    assert (paths.raw / "data.parquet").read_text() == "what was there before"


def parquet_parts(**parts: pa.Table) -> None:
    Path("rows").mkdir()
    for name, table in parts.items():
        pq.write_table(table, f"rows/{name}.parquet")


def test_parquet_types_are_widened_without_loss_or_refused() -> None:
    whole, half = pa.table({"a": [1, 2], "y": ["x", "z"]}), pa.table({"y": ["x", "z"], "a": [0.5, 1.5]})
    parquet_parts(a=whole, b=half)
    fetch.run(settings(STREAMED), Paths("mine"))
    assert pq.read_table("data/raw/mine/data.parquet")["a"].to_pylist() == [1.0, 2.0, 0.5, 1.5]
    pq.write_table(pa.table({"a": [2**60 + 1, 1], "y": ["x", "z"]}), "rows/a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet.*1152921504606846977"):
        fetch.run(settings(STREAMED), Paths("mine"))
    pq.write_table(pa.table({"a": ["1", "2"], "y": ["x", "z"]}), "rows/b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: expected int64 in 'a' as in .*a\.parquet, received string"):
        fetch.run(settings(STREAMED), Paths("mine"))
    pq.write_table(whole.slice(0, 0), "rows/b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet has no rows"):
        fetch.run(settings(STREAMED), Paths("mine"))
    Path("rows/b.parquet").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"b\.parquet cannot be read"):
        fetch.run(settings(STREAMED), Paths("mine"))


def test_a_few_texts_among_numbers_and_a_late_category_are_kept_and_told(capsys) -> None:
    frame = pd.DataFrame({"n": [str(i) for i in range(1500)], "c": ["early"] * 1499 + ["late"], "y": [0.5, 1.5] * 750})
    frame.loc[1200, "n"] = "unknown"
    write_csv(frame)
    fetch.run(settings(STREAMED), Paths("mine"))
    table = pq.read_table("data/raw/mine/data.parquet")
    assert table.schema.field("n").type == pa.string()
    assert table["c"].to_pylist()[-1] == "late"
    assert "n: text, though nearly all values are numbers, because of 'unknown' in row 1201" in capsys.readouterr().out


def test_rows_without_a_target_are_counted_and_compressed_parts_are_read(capsys) -> None:
    Path("rows").mkdir()
    text = "a,y\n" + " 1 ,2.5\n" * 700 + "NA,\n" * 300
    Path("rows/a.csv.gz").write_bytes(gzip.compress(text.encode()))
    Path("rows/b.csv.zst").write_bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))
    fetch.run(settings(STREAMED), Paths("mine"))
    assert "1,400 rows; 600 of 2,000 rows have no y and are left out" in capsys.readouterr().out
    assert set(pq.read_table("data/raw/mine/data.parquet")["a"].to_pylist()) == {1}


def test_a_contract_is_broken_in_the_same_rows_as_of_the_whole_table() -> None:
    frame = mixed()
    frame.loc[[5, 1500], "rooms"] = [99, 77]
    frame.loc[2000, "city"] = "Wien"
    write_csv(frame)
    Path("catalog/contracts").mkdir()
    limits = {name: {"type": "text", "missing": 1.0} for name in frame}
    limits["rooms"] = {"type": "number", "maximum": 9}
    limits["gaps"] = {"type": "number"}
    limits["city"] = {"type": "text", "values": ["Rome", "Bonn", "Oslo, North"]}
    del limits["one"]
    YAML().dump({"columns": limits}, Path("catalog/contracts/mine.yaml"))
    messages = []
    for gib in (WHOLE, STREAMED):
        with pytest.raises(UserError, match=r"breaks of .*mine\.yaml, nothing was changed") as refusal:
            fetch.run(settings(gib), Paths("mine"))
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]
    assert "77 in row 1501" in messages[1]
    assert not list(Paths("mine").raw.glob("*"))


def test_a_file_that_changes_between_the_passes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(mixed())
    find = "pipeline.sources.streaming.fetch.find_columns"
    found = __import__("pipeline.sources.streaming.fetch", fromlist=["find_columns"]).find_columns

    def change_meanwhile(*arguments):
        with Path("rows/part02.csv").open("a") as file:
            file.write(Path("rows/part02.csv").read_text().splitlines()[-1] + "\n")
        return found(*arguments)

    monkeypatch.setattr(find, change_meanwhile)
    with pytest.raises(UserError, match=r"part02\.csv changed while it was read"):
        fetch.run(settings(STREAMED), Paths("mine"))


@pytest.mark.usefixtures("no_report")
def test_a_limit_below_a_batch_and_a_split_at_random_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_csv(mixed())
    paths = Paths("mine")
    fetch.run(settings(STREAMED), paths)
    with pytest.raises(UserError, match=r"data\.split by random: expected a table that is read as a whole"):
        preprocess.run(settings(STREAMED, split=Split(by="random")), paths)
    monkeypatch.setattr("pipeline.stages.preprocess.check_stream", check_stream)
    with pytest.raises(
        UserError, match=r"fetch\.memory: expected 0\.00\d GiB or more, which .* take, received 9.* GiB"
    ):
        preprocess.run(settings(1e-6), paths)
    assert not paths.prepared.exists() or not list(paths.prepared.iterdir())


def test_memory_is_that_of_the_container_where_it_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    for name, content in {
        "max": "4000000000",
        "current": "3000000000",
        "stat": "anon 5\ninactive_file 1000000",
    }.items():
        (tmp_path / f"memory.{name}").write_text(content + "\n")
    assert resources.free_memory() == 1_001_000_000
    assert resources.choose("auto", 600_000_000, "fetch.memory").streams
    assert not resources.choose("auto", 500_000_000, "fetch.memory").streams
    (tmp_path / "memory.max").write_text("max\n")
    assert resources.free_memory() > 1_001_000_000


def test_counts_beyond_what_is_kept_are_within_the_bounds_that_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.text_counts.MOST_KEPT", 1000)
    monkeypatch.setattr("pipeline.streaming.text_counts.HASHES", 1024)
    r, counts = np.random.default_rng(0), Counts()
    values = [f"v{value}" for value in np.concatenate([r.zipf(1.5, 30_000), r.integers(10**6, 10**9, 30_000)])]
    for start in range(0, len(values), 5000):
        counts.add(pa.chunked_array([values[start : start + 5000]]))
    true = pd.Series(values).value_counts()
    found = pd.Series(counts.table["count"].to_numpy(), index=counts.table["text"].to_pylist())
    assert (true[found.index] - found).between(0, 2 * len(values) / 1000).all()
    assert set(true.index[true > 2 * len(values) / 1000]) <= set(found.index)
    assert counts.distinct == pytest.approx(len(true), rel=4 / 32)
