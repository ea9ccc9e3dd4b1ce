"""The data report: each warning where data deserves it and not elsewhere, and a page that loads nothing."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.schema import Schema
from contracts.settings.source import Source, Split
from pipeline.data.roles import split_hints
from pipeline.data.schema_inference import infer_schema
from pipeline.data_report import report
from pipeline.data_report.findings.finding import Finding
from pipeline.tables import IMAGE, TARGET, images_to_column, infer_task

ROWS = {"train": 600, "validation": 200, "test": 200}


def clean() -> dict[str, np.ndarray]:
    """Columns that deserve no warning, of a target to which they are related."""
    chance = np.random.default_rng(0)
    n = sum(ROWS.values())
    size, colour = chance.normal(50, 10, n), chance.choice(["red", "green", "blue"], n)
    price = size * 3 + (colour == "red") * 20 + chance.normal(0, 15, n)
    return {"size": size, "colour": colour, "weight_kg": chance.gamma(5, 2, n), "price": price}


def made(path: Path, rows: dict[str, np.ndarray], y: str = "price", **settings) -> tuple[list[Finding], Schema, str]:
    """The warnings, the schema and the page of a report over the rows in their order."""
    frame = pd.DataFrame(rows).rename(columns={y: TARGET})
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.cast(
        pa.schema([(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in table.schema])
    )
    first = np.cumsum([0, *ROWS.values()])
    parts = {part: table.slice(start, n) for (part, n), start in zip(ROWS.items(), first, strict=False)}
    source = Source(source="rows.csv", target=y, task=infer_task(table), **settings)
    schema = infer_schema("mine", source, parts["train"], "md5", split_notes=split_hints(table, source))
    return report.write_report(path / "data.html", schema, parts, 0), schema, (path / "data.html").read_text()


def seen(findings: list[Finding]) -> dict[str, list[str]]:
    return {finding.kind: [name for name, _ in finding.seen] for finding in findings}


def changed(name: str, change, y: str = "price") -> dict[str, np.ndarray]:
    """The clean columns with one more, or another."""
    columns = clean()
    column = change(columns, np.random.default_rng(1), len(columns["size"]))
    return {**{key: values for key, values in columns.items() if key != name}, name: column}


def classes(columns, chance, n):
    """A class that the columns explain in part."""
    return np.where(columns["price"] + chance.normal(0, 30, n) > 160, "yes", "no")


def test_clean_data_has_no_warning(tmp_path: Path) -> None:
    findings, _, page = made(tmp_path, clean())
    assert findings == []
    assert "<p>None.</p>" in page
    columns = clean()
    columns["bought"] = classes(columns, np.random.default_rng(2), 1000)
    del columns["price"]
    assert made(tmp_path, columns, "bought")[0] == []


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("leakage", "price with tax", lambda c, r, n: c["price"] * 1.19),
        ("mixed types", "level", lambda c, r, n: np.where(r.random(n) < 0.02, "top", r.integers(1, 40, n).astype(str))),
        ("drift between splits", "day", lambda c, r, n: np.arange(n) + r.normal(0, 50, n)),
        ("drift between splits", "shop", lambda c, r, n: np.where(np.arange(n) < 800, r.choice(["a", "b"], n), "c")),
        ("identifier", "reference", lambda c, r, n: r.permutation(10**6)[:n]),
        ("outliers", "income", lambda c, r, n: np.where(np.arange(n) == 3, 1e6, r.normal(100, 20, n))),
        ("outliers", "temperature", lambda c, r, n: np.where(r.random(n) < 0.009, -999.0, r.normal(20, 5, n))),
        ("missing values", "garden", lambda c, r, n: np.where(r.random(n) < 0.8, np.nan, r.normal(0, 1, n))),
        ("missing values", "late", lambda c, r, n: np.where(np.arange(n) > 997, np.nan, r.normal(0, 1, n))),
        ("many categories", "street", lambda c, r, n: r.integers(0, 250, n).astype(str).astype(object) + "th"),
        ("almost constant", "country", lambda c, r, n: np.where(np.arange(n) == 5, "AT", "DE")),
        ("sensitive names", "customer_gender", lambda c, r, n: r.choice(["f", "m"], n)),
        ("sensitive names", "ZipCode", lambda c, r, n: r.choice(["x1", "x2"], n)),
        ("sensitive names", "Age", lambda c, r, n: r.normal(40, 9, n)),
    ],
)  # fmt: skip
def test_a_column_gets_the_warning_that_it_deserves_and_no_other(tmp_path: Path, kind, name, change) -> None:
    findings, _, page = made(tmp_path, changed(name, change))
    assert seen(findings) == {kind: [name]}
    assert f"<h3>{kind}</h3>" in page


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("strong", lambda c, r, n: c["price"] + r.normal(0, 8, n)),  # 95 %, but no copy
        ("code", lambda c, r, n: r.choice(["A/5 21", "113803", "PC 17"], n)),
        ("score", lambda c, r, n: r.permutation(n) / 7),  # differs in every row, and measures something
        ("long_tail", lambda c, r, n: r.exponential(10, n)),
        ("some_missing", lambda c, r, n: np.where(r.random(n) < 0.3, np.nan, r.normal(0, 1, n))),
        ("town", lambda c, r, n: r.integers(0, 40, n).astype(str).astype(object) + "town"),
        ("rare", lambda c, r, n: np.where(r.random(n) < 0.03, "yes", "no")),
        ("Essex_message_rate", lambda c, r, n: r.normal(0, 1, n)),
        ("HouseAge", lambda c, r, n: r.normal(0, 1, n)),
    ],
)
def test_a_column_like_many_others_gets_none(tmp_path: Path, name, change) -> None:
    assert made(tmp_path, changed(name, change))[0] == []


def test_a_column_that_is_written_after_the_fact_gives_a_class_away(tmp_path: Path) -> None:
    columns = clean()
    columns["bought"] = classes(columns, np.random.default_rng(2), 1000)
    sent = np.random.default_rng(3).choice(["by mail", "by post"], 1000)
    columns["invoice"] = np.where((columns["bought"] == "yes") & (np.arange(1000) % 25 > 0), sent, None)
    del columns["price"]
    findings = made(tmp_path, columns, "bought")[0]
    assert seen(findings)["leakage"] == ["invoice"]
    assert re.search(r"explains \d\d% of the target alone, the next column \d+%", str(findings[0]))
    assert "drop" in findings[0].advice


def test_copies_of_train_rows_are_found_through_rounding_spelling_and_a_new_id(tmp_path: Path) -> None:
    columns = clean() | {"id": np.arange(1000)}
    for name, values in columns.items():
        if name != "id":
            values[900:950] = values[:50]
    columns["size"][900:950] += 1e-9  # as another tool writes the same number
    columns["colour"][900:950] = [colour.upper() for colour in columns["colour"][:50]]
    copies, drift = made(tmp_path, columns)[0]
    assert str(copies) == "copies across splits: 25.0% of the test rows are copies of train rows, or nearly"
    assert str(drift).startswith("drift between splits: colour: PSI")  # RED is no category of train
    few_values = {"a": columns["colour"], "b": columns["colour"][::-1].copy(), "price": columns["size"] // 20}
    assert "copies across splits" not in seen(made(tmp_path, few_values)[0])


def test_a_column_without_any_value_ends_no_report(tmp_path: Path) -> None:
    page = made(tmp_path, changed("empty", lambda c, r, n: pd.Series([None] * n, dtype="str")))[2]
    assert "could not be made" not in page
    assert "empty" in page


def test_rare_classes_and_few_rows_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = clean()
    columns["bought"] = np.where(np.arange(1000) % 100 == 0, "yes", "no")
    del columns["price"]
    findings = made(tmp_path, columns, "bought")[0]
    assert [str(finding) for finding in findings] == [
        "too few rows: yes: 6 train rows",
        "imbalance: yes: 1.00% of the train rows",
    ]
    monkeypatch.setitem(ROWS, "validation", 20)
    few = {name: values[:820] for name, values in clean().items()}
    assert seen(made(tmp_path, few)[0]) == {"too few rows": [""]}


def test_the_page_holds_everything_itself_and_shows_text_as_text(tmp_path: Path) -> None:
    columns = changed("<script>alert(1)</script>", lambda c, r, n: r.choice(["<b>x</b>", "y & z"], n))
    page = made(tmp_path, columns, columns={"weight_kg": "drop"})[2]
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>x</b>" not in page
    assert "left out, dropped: the settings say so" in page
    assert len(re.findall(r"<figure>", page)) == 4  # the target and three features
    assert "prefers-color-scheme: dark" in page


def test_the_page_says_what_divided_the_rows_and_what_looks_as_if_it_should(tmp_path: Path) -> None:
    columns = changed("customer", lambda c, r, n: r.integers(0, 100, n))
    page = made(tmp_path, columns)[2]
    assert "200 test rows, by hash ·" in page
    assert "<h2>Split</h2>" in page
    assert "customer has 100 values of 10.0 rows each: if the model is to predict for others, split by group" in page
    page = made(tmp_path, columns, split=Split(by="group", column="customer"))[2]
    assert "200 test rows, by group of customer ·" in page
    assert "<h2>Split</h2>" not in page


def test_the_target_of_the_last_part_is_not_looked_at(tmp_path: Path) -> None:
    other = clean()
    other["price"][800:] += np.arange(200) * 100.0
    assert made(tmp_path, clean())[2] == made(tmp_path, other)[2]


def test_large_data_is_sampled_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 300)
    assert "a sample of 300" in made(tmp_path, clean())[2]


def test_pictures_are_shown_with_their_labels(tmp_path: Path) -> None:
    labels = np.array(["even", "odd"])[np.arange(60) % 2]
    table = pa.table({IMAGE: images_to_column(np.arange(60 * 16, dtype=np.uint8).reshape(60, 4, 4)), TARGET: labels})
    source = Source(source="scikit-learn", task="binary", image={"height": 4, "width": 4, "maximum": 255.0})
    schema = infer_schema("pictures", source, table, "md5")
    findings = report.write_report(tmp_path / "p.html", schema, {"train": table, "validation": table[:30]}, 0)
    page = (tmp_path / "p.html").read_text()
    assert page.count('src="data:image/png;base64,') == 48
    assert seen(findings) == {"too few rows": [""]}


def test_a_report_that_fails_says_so_and_ends_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such <column>")

    monkeypatch.setattr(report, "correlate", fail)
    findings, _, page = made(tmp_path, clean())
    assert findings == []
    assert "could not be made: ValueError: no such &lt;column&gt;" in page
    assert "mine: warning: the data report could not be made: ValueError: no such <column>" in capsys.readouterr().err


def test_of_many_columns_the_first_are_compared_in_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.data_report.correlation.MOST", 2)
    monkeypatch.setattr("pipeline.data_report.correlation.COMPARED", 3)
    size = clean()["size"]
    _, _, page = made(tmp_path, {**clean(), "twin": size + 1, "further": size + 2})
    assert "2 more columns are not in the picture; the closest pairs are those of 3 columns" in page
    assert page.count("<td>twin</td><td>size</td>") == 1
    assert "<td>further</td><td>size</td>" not in page
