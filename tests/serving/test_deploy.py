"""What is checked of a deployment where no container engine runs."""

import shutil
from pathlib import Path

import httpx
import pytest
from container import image_problems
from ruamel.yaml import YAML
from servers import ROOT, is_up, launch, stop, wait_until


@pytest.fixture(scope="module")
def bento(home: Path) -> Path:
    """A packaged Bento's folder."""
    (latest,) = (path for path in (home / "bentoml/bentos/tickets").iterdir() if path.is_dir())
    return latest


def test_the_image_has_what_serving_needs_and_nothing_of_training(bento: Path) -> None:
    required = (bento / "env/python/requirements.txt").read_text()
    assert "onnxruntime==" in required
    for heavy in ("tensorflow", "keras", "mlflow", "dvc", "pandas", "optuna", "scikit-learn"):
        assert heavy not in required
    files = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    assert {"bundle/model.onnx", "serving/page/files/page.js", "contracts/schema.py", "settings.json"} <= files
    assert not [name for name in files if name.startswith("pipeline/stages") or name.endswith("mlflow_model.py")]


def test_the_image_would_have_all_that_it_needs(bento: Path) -> None:
    assert image_problems(bento) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("env/docker/Dockerfile", "COPY --chown=bentoml:bentoml . ./", "", ". is not copied"),
        ("env/docker/Dockerfile", "./env/python ./env/python/", "./env/other ./", "COPY ./env/other: no such file"),
        ("env/docker/Dockerfile", "COPY --chown=bentoml:bentoml ./env/python", "#", "installed before it is copied"),
        ("env/docker/Dockerfile", "pip install -r", "pip check #", "nothing installs"),
        ("env/docker/Dockerfile", "USER bentoml", "USER root", "it runs as root"),
        ("env/docker/Dockerfile", "USER bentoml", "", "it runs as root"),
        ("env/docker/Dockerfile", "EXPOSE 3000", "EXPOSE 8080", "port 3000"),
        ("env/docker/Dockerfile", 'entrypoint.sh" ]', 'start.sh" ]', "entry point"),
        ("env/docker/Dockerfile", "BENTOML_CONTAINERIZED", "BENTOML_OTHER", "the container alone"),
        ("env/python/requirements.txt", "onnxruntime==", "other==", "onnxruntime is imported"),
        ("env/python/requirements.txt", "pysimdjson==", "other==", "pysimdjson is imported"),
        ("env/python/requirements.txt", "pillow==", "other==", "pillow is imported"),
    ],
)
def test_a_broken_image_would_be_found(
    bento: Path, tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    copy = Path(shutil.copytree(bento, tmp_path / "bento"))
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    assert problem in "\n".join(image_problems(copy))


def test_the_dockerfile_runs_as_a_user_that_the_manifest_names(bento: Path) -> None:
    dockerfile = (bento / "env/docker/Dockerfile").read_text()
    assert "USER bentoml" in dockerfile
    (uid,) = [line.split("=")[1] for line in dockerfile.splitlines() if line.startswith("ARG BENTO_USER_UID")]
    documents = list(YAML(typ="safe").load_all(ROOT / "deploy/kubernetes.yaml"))
    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == int(uid)
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["resources"]["limits"]["memory"]
    assert "HorizontalPodAutoscaler" in {document["kind"] for document in documents}


def test_the_compose_file_publishes_on_loopback_only() -> None:
    services = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")["services"]
    assert services.keys() == {"model", "postgres", "mlflow"}
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])


def test_in_a_container_it_can_be_reached_and_elsewhere_only_from_this_machine(home: Path) -> None:
    for environment, address in (({"BENTOML_CONTAINERIZED": "true"}, "0.0.0.0"), ({}, "127.0.0.1")):
        server = launch(home, "prices:latest", **environment)
        try:
            wait_until(lambda server=server: is_up(server))
            assert httpx.get(f"{server.url}/readyz").status_code == 200
            port = f"{server.port:04X}"
            listening = [
                line.split()[1]
                for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
                if line.split()[3] == "0A"
            ]
            assert [entry for entry in listening if entry.endswith(port)] == [
                ("00000000" if address == "0.0.0.0" else "0100007F") + f":{port}"
            ]
        finally:
            stop(server)
