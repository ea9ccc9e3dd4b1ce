"""Problems of a Bento's image, read from its Dockerfile: no container engine builds it here."""

import ast
import functools
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

PORT = "3000"
OWN = {"serving", "contracts"}


def image_problems(bento: Path) -> list[str]:
    """Everything that is missing from the image, runs as root, or cannot be reached."""
    steps = _steps((bento / "env/docker/Dockerfile").read_text())
    copied = [argument.split()[-2] for word, argument in steps if word == "COPY"]
    problems = [f"COPY {source}: no such file" for source in copied if not (bento / source).exists()]
    problems += [f"{name} is not copied" for name in ("env/docker", "env/python", ".") if not _has(copied, name)]
    install = [i for i, (word, text) in enumerate(steps) if word == "RUN" and "install -r" in text]
    if not install:
        problems.append("nothing installs requirements.txt")
    elif not _has([text.split()[-2] for word, text in steps[: install[0]] if word == "COPY"], "env/python"):
        problems.append("requirements.txt is installed before it is copied")
    users = [argument for word, argument in steps if word == "USER"]
    if not users or users[-1] in ("root", "0"):
        problems.append("it runs as root")
    if PORT not in [argument for word, argument in steps if word == "EXPOSE"]:
        problems.append(f"port {PORT} is not exposed")
    (entry,) = [argument.strip('[]" ') for word, argument in steps if word == "ENTRYPOINT"] or [""]
    if "/env/" not in entry or not (bento / entry[entry.index("/env/") + 1 :]).is_file():
        problems.append("the entry point does not exist")
    if "ENV BENTOML_CONTAINERIZED=true" not in [" ".join(step) for step in steps]:
        problems.append("the service would listen inside the container only")
    required = {_plain(line.partition("==")[0]) for line in (bento / "env/python/requirements.txt").open()}
    return problems + [f"{name} is imported and not required" for name in sorted(_imported(bento / "src") - required)]


def _steps(dockerfile: str) -> list[tuple[str, str]]:
    """Instructions and their arguments; an instruction of several lines is one step."""
    lines = [line for line in dockerfile.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]
    return [(word, argument) for word, _, argument in (line.partition(" ") for line in lines)]


def _has(copied: list[str], name: str) -> bool:
    return any(Path(source) == Path(name) for source in copied)


def _imported(source: Path) -> set[str]:
    """The distributions whose modules the code in a folder imports."""
    modules = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    distributions = _distributions()
    return {_plain(distributions.get(name, [name])[0]) for name in modules - OWN - set(sys.stdlib_module_names)}


_distributions = functools.cache(packages_distributions)  # it takes a third of a second


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
