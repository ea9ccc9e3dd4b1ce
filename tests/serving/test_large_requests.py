"""The process for large bodies and pictures: its answers, its limits and its end."""

import base64
import gzip
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from apps import LiveApp, listen, make_model, make_test_app
from bento_servers import wait_until
from bundles import TILES
from PIL import Image
from request_bodies import IMAGE, assert_problem

from serving.settings import Settings

JSON = {"content-type": "application/json"}
LARGE = {"instances": [IMAGE] * 9000}  # 2 MB


@pytest.fixture(scope="module")
def bulk(bundles: Path) -> Iterator[tuple[LiveApp, psutil.Process]]:
    """Images on a port, and the process for large bodies, which the first one starts."""
    before = set(psutil.Process().children())
    with listen(make_test_app(make_model(TILES, bundles / "tiles"))) as live:
        assert httpx.post(f"{live.url}/predict", json=LARGE, timeout=60).status_code == 200
        (process,) = set(psutil.Process().children()) - before
        yield live, process


def test_nobody_else_waits_for_large_bodies(bulk: tuple[LiveApp, psutil.Process]) -> None:
    live, process = bulk
    middling = {"instances": [IMAGE] * 400}
    with ThreadPoolExecutor(1) as threads:
        process.suspend()
        try:
            large = threads.submit(httpx.post, f"{live.url}/predict", json=LARGE, timeout=60)
            assert not wait([large], timeout=0.3).done
            assert httpx.post(f"{live.url}/predict", json=middling).status_code == 200
            assert not large.done()
        finally:
            process.resume()
        assert len(large.result().json()["predictions"]) == 9000


def test_the_process_for_large_bodies_answers_as_the_service_does(bulk: tuple[LiveApp, psutil.Process]) -> None:
    live, _ = bulk
    blanks = b" " * 2**21
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP64", "parameters": {"binary_data_size": 512}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    instances = json.dumps({"instances": [IMAGE]}).encode()
    cases = [
        ("/predict?confidence=0.9", {}, instances),
        ("/predict?confidence=2", {}, instances),
        ("/predict?explain=true", {}, instances),
        ("/invocations", {}, instances),
        ("/v1/models/tiles:predict", {}, instances),
        ("/v2/models/tiles/infer", {"inference-header-content-length": True}, head),
        ("/predict", {}, b'{"instances": 3}'),
    ]
    for path, extra, document in cases:
        answers = []
        for text in (document, document + blanks):
            lengths = dict.fromkeys(extra, str(len(text)))
            body = text + (np.array(IMAGE, float).tobytes() if extra else b"")
            answers.append(httpx.post(f"{live.url}{path}", content=body, headers=JSON | lengths, timeout=60))
        assert answers[0].status_code == answers[1].status_code, path
        assert answers[0].content == answers[1].content, path
        assert answers[0].headers.get("inference-header-content-length") == answers[1].headers.get(
            "inference-header-content-length"
        )


def test_what_the_process_for_large_bodies_answers_is_counted(bulk: tuple[LiveApp, psutil.Process]) -> None:
    live, _ = bulk

    def rows() -> float:
        (line,) = [x for x in httpx.get(f"{live.url}/metrics").text.splitlines() if x.startswith("serving_rows_total")]
        return float(line.split()[1])

    before = rows()
    assert httpx.post(f"{live.url}/predict", json=LARGE, timeout=60).status_code == 200
    assert rows() == before + 9000
    refused = httpx.post(f"{live.url}/predict", json={"instances": [IMAGE] * 9000 + [[99]] * 30}, timeout=60)
    problem = assert_problem(refused, 400)
    assert problem["detail"].startswith("30 problems, the first: $.instances[9000]: expected ")
    assert len(problem["errors"]) == 20
    assert rows() == before + 9000


def test_requests_that_are_refused_leave_nothing_in_the_process(bulk: tuple[LiveApp, psutil.Process]) -> None:
    live, process = bulk
    bomb = gzip.compress(b" " * 2**25, 1)

    def memory() -> int:
        for _ in range(5):
            refused = httpx.post(f"{live.url}/predict", content=bomb, headers=JSON | {"content-encoding": "gzip"})
            assert_problem(refused, 413)
        return process.memory_info().rss

    first = memory()
    assert memory() < first + 2**24  # the content of one has as much


def test_a_process_that_dies_is_started_again(bulk: tuple[LiveApp, psutil.Process]) -> None:
    live, process = bulk
    process.kill()
    refused = httpx.post(f"{live.url}/predict", json=LARGE, timeout=60)
    assert assert_problem(refused, 503)["detail"] == "the process for large requests ended before it answered"
    assert refused.headers["retry-after"] == "1"
    assert httpx.post(f"{live.url}/predict", json=LARGE, timeout=60).status_code == 200
    assert not process.is_running()


def test_a_large_request_ends_at_its_time_limit_whatever_it_does(bundles: Path) -> None:
    before = set(psutil.Process().children())
    picture = io.BytesIO()
    Image.new("1", (4096, 4096)).save(picture, "PNG")
    bomb = {"instances": [base64.b64encode(picture.getvalue()).decode()] * 30}  # takes seconds
    with listen(make_test_app(make_model(TILES, bundles / "tiles"), Settings(timeout=0.7))) as live:

        def is_answered() -> bool:  # the first ones may take all of the time for the start
            return httpx.post(f"{live.url}/predict", json=LARGE, timeout=60).status_code == 200

        wait_until(is_answered, 60)
        (process,) = set(psutil.Process().children()) - before
        late = httpx.post(f"{live.url}/predict", json=bomb, timeout=60)
        assert_problem(late, 504)
        assert late.headers["retry-after"] == "1"
        wait_until(lambda: not process.is_running(), 5)
        assert httpx.post(f"{live.url}/predict", json={"instances": [IMAGE]}).status_code == 200
        wait_until(is_answered, 60)
