"""A headless Chromium that opens the page (apt-get install chromium chromium-driver), and what tests look for."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-dev-shm-usage", "--window-size=1100,900")  # fmt: skip

needs_chromium = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver")


@contextlib.contextmanager
def open_browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
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
