"""Tables on the page, in a real browser: rows of a CSV file, and columns as people have them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apps import LiveApp, listen, make_model, make_test_app
from browser import assert_no_errors, find, needs_chromium, wait_until
from bundles import QUANTILES, TICKETS
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from contracts.schema import (
    CategoricalFeature,
    ClassTarget,
    DateFeature,
    DroppedColumn,
    LabelsTarget,
    NumericFeature,
    TextForm,
)

pytestmark = needs_chromium


def test_a_csv_file_gives_predictions_to_download(
    browser: webdriver.Chrome, live: dict[str, LiveApp], tmp_path: Path
) -> None:
    rows = "".join(f"{age},7.25,Southampton,A\n" for age in range(30))
    (tmp_path / "people.csv").write_text("age,fare paid,port,deck\n" + rows)
    browser.get(live["tickets"].url)
    find(browser, "#drop")
    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "people.csv"))
    find(browser, "#download").click()
    assert "30 rows predicted" in find(browser, "#file-answer").text
    result: Path = browser.downloads / "people-predictions.csv"  # type: ignore[attr-defined]
    wait_until(result.exists)
    lines = result.read_text().splitlines()
    assert lines[0] == "label,probability,P(first),P(second),P(third)"
    assert len(lines) == 31
    assert_no_errors(browser)


def part(name: str, low: float, high: float) -> NumericFeature:
    return NumericFeature(name=name, minimum=low, maximum=high, mean=low, std=1, median=low, missing=False)


SALES = TICKETS.model_copy(
    update={
        "dataset": "sales", "features": (
            DateFeature(name="sold on", format="%d/%m/%Y", missing=False, parts=(
                part("days", 18_000, 19_000), part("month", 1, 12), part("weekday", 0, 6))),
            CategoricalFeature(name="condition", categories=("bad", "good"), missing=False),
            NumericFeature(name="area", minimum=10, maximum=90, mean=50, std=20, median=50, missing=False),
        ),
        "missing_elsewhere": ("condition", "area"),
        "target": ClassTarget(name="band", classes=("0", "1", "2"), frequencies=(0.2, 0.3, 0.5), kind="integer"),
        "sample": {"sold on": "2021-01-04", "condition": "good", "area": 45.5},
        "dropped": (DroppedColumn(name="id", role="identifier", reason="every row has another whole number"),),
        "text": TextForm(encoding="cp1252", delimiter=";", decimal=",", missing=("", "NA")),
    }
)  # fmt: skip


@pytest.fixture
def sales(tmp_path: Path) -> Iterator[LiveApp]:
    """A model of a table as people have them: a date, a category, gaps, an id, whole-number classes."""
    with listen(make_test_app(make_model(SALES, tmp_path / "sales"))) as live:
        yield live


def test_a_table_as_people_have_them_is_tried_by_its_form_and_by_its_file(
    browser: webdriver.Chrome, sales: LiveApp, tmp_path: Path
) -> None:
    browser.get(sales.url)
    date = find(browser, "[name='sold on']")
    assert (date.get_attribute("type"), date.get_attribute("value")) == ("date", "2021-01-04")
    browser.execute_script("arguments[0].value = '2021-02-03'", date)
    condition = Select(find(browser, "[name=condition]"))
    assert [option.text for option in condition.options] == ["(missing)", "bad", "good"]
    condition.select_by_value("")
    area = find(browser, "[name=area]")
    assert area.get_attribute("required") is None
    area.clear()
    find(browser, "#predict").click()
    shown = find(browser, ".result").text.split(" with ")[0]
    assert shown in ("0", "1", "2")
    assert find(browser, ".best .name").text == shown
    sent = browser.find_element(By.ID, "curl").get_attribute("textContent")
    assert '{"sold on":"2021-02-03","condition":null,"area":null}' in sent
    text = "id;band;area;condition;sold on\n7;2;45,5;good;04/01/2021\n8;1;NA;Málaga;03/02/2021\n"
    (tmp_path / "sold.csv").write_bytes(text.encode("cp1252"))
    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "sold.csv"))
    find(browser, "#download")
    assert "2 rows predicted" in find(browser, "#file-answer").text
    assert "line 3, column 'condition': a category that training never saw" in find(browser, "#file-answer").text
    assert_no_errors(browser)


def test_the_page_says_what_is_predicted(browser: webdriver.Chrome, live: dict[str, LiveApp], tmp_path: Path) -> None:
    browser.get(live["tickets"].url)
    find(browser, "#predict")
    assert find(browser, "#subtitle").text == "predicts class: 3 classes"
    labels = LabelsTarget(name="tags", classes=("a", "b"), frequencies=(0.2, 0.5), multilabel=True)
    schema = TICKETS.model_copy(update={"task": "multilabel", "target": labels})
    with listen(make_test_app(make_model(schema, tmp_path / "labels"))) as app:
        browser.get(app.url)
        wait_until(lambda: find(browser, "#subtitle").text == "predicts tags: 2 labels")


def test_quantiles_are_shown_and_downloaded(browser: webdriver.Chrome, tmp_path: Path) -> None:
    (tmp_path / "abc.csv").write_text("a,b,c\n1,2,3\n")
    with listen(make_test_app(make_model(QUANTILES, tmp_path / "quantiles"))) as live:
        browser.get(live.url)
        find(browser, "#predict").click()
        assert find(browser, "#quantiles").text == "Quantiles: 5 %: -0.074681; 50 %: -0.0319905; 95 %: 0.068201"
        assert find(browser, "#likely").text == "With 90 % confidence: price: -0.974681 to 0.968201"
        browser.find_element(By.ID, "file").send_keys(str(tmp_path / "abc.csv"))
        find(browser, "#download").click()
        result: Path = browser.downloads / "abc-predictions.csv"  # type: ignore[attr-defined]
        wait_until(result.exists)
        assert result.read_text().splitlines()[0] == "value,Q(0.05),Q(0.5),Q(0.95)"
        assert_no_errors(browser)
