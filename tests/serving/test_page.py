"""The page, in a real browser. Skipped without Chromium: apt-get install chromium chromium-driver."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from apps import LiveApp, listen, make_model, make_test_app
from bundles import TICKETS
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from contracts.schema import CategoricalFeature, ClassTarget, DateFeature, DroppedColumn, NumericFeature, TextForm

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-dev-shm-usage", "--window-size=1100,900")  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    driver.downloads = downloads  # type: ignore[attr-defined]
    try:
        yield driver
    finally:
        driver.quit()


def find(browser: webdriver.Chrome, selector: str, seconds: float = 20) -> WebElement:
    """The first visible element; waits for it."""
    deadline = time.monotonic() + seconds
    while True:
        for element in browser.find_elements(By.CSS_SELECTOR, selector):
            if element.is_displayed():
                return element
        assert time.monotonic() < deadline, f"no {selector} on the page: {browser.page_source[:2000]}"
        time.sleep(0.05)


def wait_until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_no_errors(browser: webdriver.Chrome) -> None:
    """No script failed, and nothing was loaded from another host."""
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [address for address in loaded if not address.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []


def test_the_form_from_the_schema_gets_a_prediction(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["tickets"].url)
    assert find(browser, "[name=age]").get_attribute("type") == "number"
    port = Select(find(browser, "[name=port]"))
    assert [option.text for option in port.options] == ["Cherbourg", "Queenstown", "Southampton"]
    find(browser, "#predict").click()
    assert find(browser, ".result").text.split(" with ")[0] in ("first", "second", "third")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".bars meter")) == 3
    assert "tickets, version 7" in find(browser, "#answer").text
    assert find(browser, "#likely").text.startswith("With 90 % confidence: ")
    find(browser, "summary").click()
    assert '-d \'{"instances":[{"age":22,' in find(browser, "#curl").text
    assert_no_errors(browser)


def test_predict_is_disabled_until_the_form_is_there(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/info"]})
    browser.get(live["tickets"].url)
    find(browser, ".error")
    assert not find(browser, "#predict").is_enabled()
    browser.get_log("browser")  # has the blocked request
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    browser.get(live["tickets"].url)
    wait_until(lambda: find(browser, "#predict").is_enabled())


def colour(browser: webdriver.Chrome, text: str) -> str:
    """A colour as the canvas writes it, so that two can be compared."""
    pen = "const pen = document.createElement('canvas').getContext('2d')"
    return browser.execute_script(f"{pen}; pen.fillStyle = arguments[0]; return pen.fillStyle", text.strip())


def test_warnings_and_errors_are_shown(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["tickets"].url)
    fare = find(browser, "[name='fare paid']")
    fare.clear()
    fare.send_keys("100000")
    fare.send_keys(Keys.ENTER)
    assert "far outside the 0 to 500 of training" in find(browser, ".warning").text
    fare.clear()
    fare.send_keys(Keys.ENTER)
    complaint = "fare paid: expected a number (training saw none missing), received nothing"
    assert find(browser, ".error").text == complaint  # the name of the field, not the JSON path
    bad = browser.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--bad')")
    assert colour(browser, fare.value_of_css_property("border-top-color")) == colour(browser, bad)
    age = find(browser, "[name=age]")  # may be empty
    age.clear()
    assert colour(browser, age.value_of_css_property("border-top-color")) != colour(browser, bad)
    browser.get(live["prices"].url)
    for name in ("a", "b"):
        find(browser, f"[name={name}]").clear()
    find(browser, "#predict").click()
    assert find(browser, ".error").text.startswith("These values cannot be used:\na: expected")
    browser.get_log("browser")  # has the refused request


def test_the_page_works_with_the_keyboard_alone(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["prices"].url)
    find(browser, "[name=a]")
    keys = webdriver.ActionChains(browser)
    for _ in range(20):
        keys.send_keys(Keys.TAB).perform()
        if browser.switch_to.active_element.get_attribute("id") == "predict":
            break
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "price" in find(browser, ".result").text
    assert re.fullmatch(r"With 90 % confidence: price: -?[\d.]+ to -?[\d.]+", find(browser, "#likely").text)


def test_a_drawing_gets_a_prediction(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["tiles"].url)
    canvas = find(browser, "canvas")
    find(browser, "#clear").click()
    chain = webdriver.ActionChains(browser).move_to_element_with_offset(canvas, -40, -30).click_and_hold()
    chain.move_by_offset(0, 20).move_by_offset(5, 25).release().perform()
    assert find(browser, ".result").text[0] in "0123456789"
    assert len(browser.find_elements(By.CSS_SELECTOR, ".bars li")) == 10
    sent = browser.find_element(By.ID, "curl").get_attribute("textContent").split('"instances":[')[1]
    drawn = np.array(json.loads(sent[: sent.index("]]]") + 2]))
    assert (drawn > 0).any(axis=1).all(), "a small drawing is as large as the pictures of training"
    assert abs(np.average(np.arange(drawn.shape[1]), weights=drawn.sum(axis=0)) - (drawn.shape[1] - 1) / 2) < 1
    assert_no_errors(browser)


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


@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_fits_a_phone(browser: webdriver.Chrome, live: dict[str, LiveApp], width: int) -> None:
    emulated = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulated)
    try:
        browser.get(live["tickets"].url)
        find(browser, "#predict").click()
        find(browser, ".result")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        browser.execute_script("document.querySelector('.best .share').textContent = '100.0 %'")  # the widest text
        assert browser.execute_script(
            "const e = document.querySelector('.best .share'); return e.scrollWidth <= e.clientWidth"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_documentation_is_shown(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["tickets"].url + "/docs")
    assert "tickets: multiclass" in find(browser, "#docs .title").text
    assert_no_errors(browser)


def test_the_page_shows_what_each_feature_adds(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["prices"].url)
    find(browser, "#explain").click()
    assert find(browser, ".why h3").text == "Why price"
    assert sorted(name.text for name in browser.find_elements(By.CSS_SELECTOR, ".contributions .name")) == [
        "a",
        "b",
        "c",
    ]
    widths = [bar.size["width"] for bar in browser.find_elements(By.CSS_SELECTOR, ".track > span")]
    assert widths[0] == max(widths) > 20
    assert "explain=true" in browser.find_element(By.ID, "curl").get_attribute("textContent")
    find(browser, "#explain").click()
    wait_until(lambda: not browser.find_elements(By.CSS_SELECTOR, ".why"))
    assert_no_errors(browser)


def test_the_page_shows_which_tiles_of_an_image_matter(browser: webdriver.Chrome, live: dict[str, LiveApp]) -> None:
    browser.get(live["tiles"].url)
    find(browser, "#explain").click()
    find(browser, ".why h3")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".tiles span")) == 16
    assert_no_errors(browser)


def test_a_model_without_background_rows_offers_no_explanation(
    browser: webdriver.Chrome, live: dict[str, LiveApp]
) -> None:
    browser.get(live["tickets"].url)
    find(browser, "#predict").click()
    find(browser, ".result")
    assert not browser.find_element(By.ID, "explain").is_displayed()
