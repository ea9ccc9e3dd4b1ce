"""Where a person's data may lie besides a file, and what its columns may be: queries, pictures, test rows, orders."""

import datetime
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from contracts.errors import UserError
from contracts.files import md5
from contracts.schema import Schema, load_schema
from contracts.settings.load import Fetch, load_params
from contracts.settings.source import Source
from pipeline.commands.data import app
from pipeline.paths import Paths
from pipeline.sources.own_table import lineage, local_md5, read_source
from pipeline.sources.queries import query_batches
from pipeline.sources.streaming.local_files import local_files
from pipeline.stages import fetch, preprocess
from pipeline.tables import IMAGE, IS_TEST, TARGET, column_to_images


def add(*arguments: str) -> str:
    """What add-data prints."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.output


def prepare(dataset: str) -> Schema:
    """Run fetch and preprocess on a dataset of the catalog; the schema that they make."""
    params, paths = load_params(Path("params.yaml"), dataset), Paths(dataset)
    fetch.run(params, paths)
    preprocess.run(params, paths)
    return load_schema(paths.prepared / "schema.json")


def test_a_query_becomes_a_dataset(folder: Path, database: Path) -> None:
    query = "select age, paid, date(day) as day, again from visits -- it's: 50 % of them"
    assert "again" in add("visits", query, "--database", "VISITS")
    assert not (folder / "catalog/visits.yaml").exists()
    shown = add("visits", query, "again", "--database", "VISITS")
    assert "visits: binary of again, 60 rows" in shown
    schema = prepare("visits")
    assert [feature.kind for feature in schema.features] == ["numeric", "numeric", "date"]
    assert schema.sample["day"].startswith("2024-01-")
    assert schema.classes == ("0", "1")
    origin = json.loads((folder / "data/raw/visits/source.json").read_text())
    assert origin.pop("contract") == md5(folder / "catalog/contracts/visits.yaml")
    assert origin == {"source": query, "md5": None, "database": "VISITS"}


def test_a_query_of_postgresql_has_its_types_and_cannot_write(folder: Path, postgresql, monkeypatch) -> None:
    for command in (
        "create table visits (age int, paid numeric, day date, ok boolean, at timestamptz, note uuid)",
        "insert into visits select i, i / 4.0, date '2024-01-01' + i, i % 2 = 0, now(), gen_random_uuid() "
        "from generate_series(1, 50) i",
        "create function add_row() returns int as 'insert into visits (age) values (1); select 1' language sql",
    ):
        postgresql.psql(command)
    monkeypatch.setenv("VISITS", postgresql.get_uri().replace("postgresql://", "postgresql+psycopg://"))
    source = Source(source="SELECT * FROM visits ORDER BY age", database="VISITS", target="ok")
    with local_files(source, "visits", Fetch(timeout=5.0, attempts=1)) as files:
        table = read_source(files.source).table
    types = {field.name: str(field.type) for field in table.schema}
    moment = "timestamp[s]"
    assert types == {"age": "int64", "paid": "double", "day": moment, "at": moment, "note": "string", TARGET: "string"}
    assert table.slice(0, 1).select(["age", "paid", "day", TARGET]).to_pylist() == [
        {"age": 1, "paid": 0.25, "day": datetime.datetime(2024, 1, 2), TARGET: "false"}
    ]
    with pytest.raises(UserError, match="cannot execute INSERT in a read-only transaction"):
        next(query_batches("select add_row() as a, 1 as y", "VISITS"))
    assert postgresql.psql("select count(*) from visits").split()[2] == "50"


def test_a_folder_of_pictures_becomes_a_dataset(folder: Path) -> None:
    chance = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 200)):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(chance.normal(brightness, 20, (40, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(f"pictures/{name}/{number}.png")
    shown = add("lamps", "pictures")
    assert "lamps: binary of pictures, 80 rows" in shown
    assert "pictures: 40 of dark, 40 of light" in shown
    assert (folder / "catalog/lamps.yaml").read_text().endswith("image: {height: 20, width: 32, maximum: 255}\n")
    schema = prepare("lamps")
    assert schema.classes == ("dark", "light")
    assert schema.image is not None
    assert (schema.image.height, schema.image.width) == (20, 32)
    table = pq.read_table(folder / "data/raw/lamps/data.parquet")
    means = column_to_images(table[IMAGE], 20, 32).mean(axis=(1, 2))
    assert [mean < 130 for mean in means] == [label == "dark" for label in table[TARGET].to_pylist()]
    before = local_md5(load_params(Path("params.yaml"), "lamps").source)
    assert before == json.loads((folder / "data/raw/lamps/source.json").read_text())["md5"]
    (folder / "pictures/dark/0.png").unlink()
    assert local_md5(load_params(Path("params.yaml"), "lamps").source) != before


def test_a_file_of_test_rows_is_the_test_part(folder: Path) -> None:
    lines = ["size,kind,y", *(f"{i},k{i % 3},{i % 2}" for i in range(60))]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    (folder / "later.csv.gz").write_bytes(b"")
    (folder / "test.csv").write_text("y;kind;size\n1;k1;100,5\n0;k2;1\n1;k1;101\n")
    (folder / "catalog/mine.yaml").write_text("data: {source: train.csv, test_source: test.csv, target: y}\n")
    table = read_source(Source(source="train.csv", test_source="test.csv", target="y")).table
    assert table[IS_TEST].to_pylist() == [False] * 60 + [True] * 3
    schema = prepare("mine")
    test = pq.read_table(folder / "data/prepared/mine/test.parquet")
    assert test.column_names == ["size", "kind", TARGET]
    assert test["kind"].to_pylist() == ["k1", "k2", "k1"]
    assert schema.split is not None
    assert schema.split.by == "hash"


def test_the_lineage_of_a_file_has_the_hash_of_dvc(folder: Path) -> None:
    (folder / "rows.csv").write_text("a,y\n1,0\n2,1\n")
    source = Source(source="rows.csv", target="y")
    digest = read_source(source).md5
    assert lineage(source, digest) == {"source": "rows.csv", "md5": digest}
    (folder / "rows.csv.dvc").write_text(f"outs:\n- md5: {digest}\n  size: 12\n  hash: md5\n  path: rows.csv\n")
    assert lineage(source, digest) == {"source": "rows.csv", "md5": digest, "dvc": digest}
    assert local_md5(source) == digest


def test_without_a_target_the_columns_are_shown_and_one_is_proposed(folder: Path) -> None:
    lines = ["id,Survived,age,seat", *(f"{i},{i % 2},{20 + i % 50},s{i % 7}" for i in range(60))]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    shown = add("mine", "rows.csv")
    assert "left out: identifier" in shown
    assert "Next: make add-data NAME=mine SOURCE=rows.csv TARGET=Survived" in shown
    assert not (folder / "catalog/mine.yaml").exists()
    add("mine", "rows.csv", "Survived")
    assert (folder / "catalog/mine.yaml").read_text().splitlines()[1:] == [
        "data:", "  source: rows.csv", "  target: Survived", "search:", "  space: auto", "  n_trials: 8", "  folds: 5"
    ]  # fmt: skip
    for name, times, trials in (("more", 34, 8), ("many", 1200, 4), ("most", 2300, 3)):
        (folder / "many.csv").write_text("\n".join([lines[0], *lines[1:] * times]) + "\n")
        add(name, "many.csv", "Survived")
        assert (folder / f"catalog/{name}.yaml").read_text().endswith(f"search:\n  space: auto\n  n_trials: {trials}\n")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_a_file_that_is_streamed_the_first_rows_are_looked_at(folder: Path, monkeypatch, kind: str) -> None:
    """They hold one class, the file two; it is added, and fetched as a stream."""
    monkeypatch.setattr("pipeline.sources.streaming.text.BLOCK", 2**16)
    monkeypatch.setattr("pipeline.sources.streaming.parquet.BATCH", 2**12)
    table = pa.table({"a": [i % 7 for i in range(40_000)], "y": ["no"] * 30_000 + ["yes"] * 10_000})
    csv.write_csv(table, "rows.csv") if kind == "csv" else pq.write_table(table, "rows.parquet")
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub("memory: auto", "memory: 0.001", text, count=1))
    assert re.search(r"the first (4,096|\d,\d{3}) rows\b", add("mine", f"rows.{kind}"))
    shown = add("mine", f"rows.{kind}", "y")
    assert re.search(r"mine: multiclass of y, the first (4,096|\d,\d{3}) rows\b", shown)
    assert "in the first rows alone: target 'y': expected two values or more, received only 'no'" in " ".join(
        shown.split()
    )
    assert not (folder / "catalog/contracts/mine.yaml").exists()
    assert (folder / "catalog/mine.yaml").read_text().endswith("n_trials: 3\n")
    params = load_params(Path("params.yaml"), "mine")
    fetch.run(params, Paths("mine"))
    assert pq.read_metadata("data/raw/mine/data.parquet").num_rows == 40_000


def test_where_no_column_is_left_add_data_says_so(folder: Path) -> None:
    (folder / "rows.csv").write_text("id,y\n" + "".join(f"{i},{i % 2}\n" for i in range(60)))
    assert "No column is left to learn from. Name one in catalog/mine.yaml first" in add("mine", "rows.csv", "y")


def test_several_columns_and_several_labels_in_one_text_are_targets(folder: Path) -> None:
    """What is said of them, the lines that are written, and what the next command is."""
    tags = ["red|big", "big", "red", "small|big", "red|small"] * 12
    lines = [f"{i % 7},{i / 7:.3f},{i % 9 + 0.5},{tag}" for i, tag in enumerate(tags)]
    (folder / "rows.csv").write_text("\n".join(["a,weight,the waist,tags", *lines]) + "\n")
    shown = add("mine", "rows.csv")
    assert "Next: make add-data NAME=mine SOURCE=rows.csv TARGET=tags SEPARATOR='|'\n" in shown
    hint = "tags looks as if it held several labels in one text: SEPARATOR='|' predicts each of them\n"
    assert hint in add("classes", "rows.csv", "tags")
    shown = add("tags", "rows.csv", "tags", "--separator", "|")
    assert "tags: multilabel of tags, 60 rows" in shown
    assert "labels: big 60%, red 60%, small 40%\n" in shown
    assert "looks as if" not in shown
    written = (folder / "catalog/tags.yaml").read_text()
    assert "  target: tags\n  separator: '|'\nsearch:" in written
    shown = add("numbers", "rows.csv", "weight, the waist")
    assert "numbers: regression of weight and the waist, 60 rows" in shown
    assert "  target: [weight, the waist]\nsearch:" in (folder / "catalog/numbers.yaml").read_text()
    assert shown.endswith("Next: make repro DATASETS=numbers\n")
    assert prepare("numbers").outputs == ("weight", "the waist")
    (folder / "rows.csv").write_text("a,'x,y'\n".replace("'", '"') + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    add("comma", "rows.csv", "x,y")
    assert "  target: 'x,y'\n" in (folder / "catalog/comma.yaml").read_text()


@pytest.mark.parametrize("name", ["123", "1e5", "0x1F", "2024-01-01", ".inf", "Yes", "~", "b: c", "x #y", "_1"])
def test_a_column_of_any_name_is_written_so_that_it_is_read_again(folder: Path, name: str) -> None:
    (folder / "rows.csv").write_text(f"a,{name}\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    add("mine", "rows.csv", name.strip())
    assert load_params(Path("params.yaml"), "mine").source.target == name.strip()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("split: {by: time}", "data.split: expected a column for by: time, received none"),
        ("split: {by: hash, column: a}", "data.split: expected no column for by: hash, received a"),
        ("split: {by: tiem}", "data.split.by: expected one of hash, group, time, column, random, received 'tiem'; "
         "did you mean 'time'?"),
        ("columns: {size: [S, M, S]}",
         "data: expected each value of an ordered category once, received one twice for size"),
        ("weight: a, columns: {a: drop}",
         "data: expected no role under columns for the column of weights, received one for a"),
        ("database: X, test_source: y.csv", "data: expected a column that says the part (split) for a query, received "
         "test_source"),
        ("max_categories: 0", "data.max_categories: expected greater than or equal to 1, received 0"),
    ],
)  # fmt: skip
def test_settings_of_data_that_do_not_fit_are_told_before_anything_runs(folder: Path, data: str, message: str) -> None:
    (folder / "catalog/mine.yaml").write_text(f"data: {{source: rows.csv, target: y, {data}}}\n")
    with pytest.raises(UserError) as refused:
        load_params(Path("params.yaml"), "mine")
    assert str(refused.value).splitlines()[1:] == [f"  catalog/mine.yaml: {message}"]
