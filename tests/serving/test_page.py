"""The page, in a real browser: its form, its canvas, its explanations and its documentation."""

import json
import re

import numpy as np
import pytest
from apps import LiveApp
from browser import assert_no_errors, find, needs_chromium, wait_until
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

pytestmark = needs_chromium


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
