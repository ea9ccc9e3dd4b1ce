"""The API's description is true: it has every route, its examples work, and schemathesis finds no contradiction."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from apps import LiveApp


@pytest.mark.parametrize("name", ["tickets", "tiles", "prices"])
def test_every_example_gets_a_prediction(request: pytest.FixtureRequest, name: str) -> None:
    client: httpx.Client = request.getfixturevalue(name)
    document = client.get("/openapi.json").json()
    n_examples = 0
    for path, operations in document["paths"].items():
        if "get" in operations:
            assert client.get(path).status_code == 200, path
            continue
        for media_type, content in operations["post"]["requestBody"]["content"].items():
            if "example" not in content:
                continue
            body = {"json" if media_type == "application/json" else "content": content["example"]}
            response = client.post(path, headers={"content-type": media_type}, **body)
            assert response.status_code == 200, (path, response.text)
            n_examples += 1
    assert n_examples >= 6


@pytest.mark.parametrize("name", ["tickets", "tiles"])
def test_schemathesis_finds_no_server_error_and_no_undocumented_status(
    live: dict[str, LiveApp], name: str, tmp_path: Path
) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{live[name].url}/openapi.json",
        "--url", live[name].url, "--max-examples", "8", "--seed", "1", "--phases", "examples,coverage,fuzzing",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--no-color", "--exclude-path-regex", "/versions/",  # the same handlers as without a version
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
