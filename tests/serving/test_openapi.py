"""The description is true: every route is in it, its examples work, and schemathesis finds nothing else."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from servers import Server


@pytest.mark.parametrize("name", ["tickets", "tiles", "prices"])
def test_every_example_is_answered(servers: dict[str, Server], name: str) -> None:
    with httpx.Client(base_url=servers[name].url) as client:
        document = client.get("/openapi.json").json()
        tried = 0
        for path, operations in document["paths"].items():
            if "get" in operations:
                assert client.get(path).status_code == 200, path
                continue
            for kind, content in operations["post"]["requestBody"]["content"].items():
                if "example" not in content:
                    continue
                sent = {"json": content["example"]} if kind == "application/json" else {"content": content["example"]}
                answer = client.post(path, headers={"content-type": kind}, **sent)
                assert answer.status_code == 200, (path, answer.text)
                tried += 1
        assert tried >= 6


@pytest.mark.parametrize("name", ["tickets", "tiles"])
def test_schemathesis_finds_no_server_error_and_no_undocumented_status(
    servers: dict[str, Server], name: str, tmp_path: Path
) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{servers[name].url}/openapi.json",
        "--url", servers[name].url, "--max-examples", "12", "--seed", "1", "--phases", "examples,coverage,fuzzing",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
