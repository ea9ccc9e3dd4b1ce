"""The deployment, checked without a container engine: the Bento's image, Kubernetes and Compose."""

import shutil
from pathlib import Path

import pytest
from bento_servers import ROOT
from dockerfile import image_problems
from ruamel.yaml import YAML


def test_the_image_contains_serving_and_nothing_of_training(bento: Path) -> None:
    required = (bento / "env/python/requirements.txt").read_text()
    assert "onnxruntime==" in required
    for heavy in ("tensorflow", "keras", "mlflow", "dvc", "pandas", "optuna", "scikit-learn"):
        assert heavy not in required
    files = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    assert {"bundle/model.onnx", "serving/page/files/page.js", "contracts/schema.py", "settings.json"} <= files
    assert not [name for name in files if name.startswith("pipeline/stages") or name.endswith("mlflow_model.py")]


def test_the_dockerfile_has_no_problem(bento: Path) -> None:
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
        ("env/docker/Dockerfile", "BENTOML_CONTAINERIZED", "BENTOML_OTHER", "inside the container only"),
        ("env/python/requirements.txt", "onnxruntime==", "other==", "onnxruntime is imported"),
        ("env/python/requirements.txt", "pysimdjson==", "other==", "pysimdjson is imported"),
        ("env/python/requirements.txt", "pillow==", "other==", "pillow is imported"),
    ],
)
def test_a_broken_dockerfile_is_found(bento: Path, tmp_path: Path, file: str, old: str, new: str, problem: str) -> None:
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
