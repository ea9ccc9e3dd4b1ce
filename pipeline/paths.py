"""The paths of a dataset's files, and of the state that outlives a run.

DVC deletes the outputs of a stage before the stage runs, and runs queued experiments in a copy of the project. Studies,
tracked runs, downloads and Bentos must survive both: they are in `var/` of the main checkout, which DVC names in
`DVC_ROOT`, also in such a copy.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The outputs of a dataset's stages, relative to the working copy in which they run."""

    dataset: str
    root: Path = Path()

    @property
    def contract(self) -> Path:
        """The rules for later data: the user's file, which may be absent."""
        return self.root / "catalog/contracts" / f"{self.dataset}.yaml"

    @property
    def card(self) -> Path:
        """The purpose and the limits of the model: the team's text, which may be absent."""
        return self.root / "catalog/cards" / f"{self.dataset}.md"

    @property
    def raw(self) -> Path:
        return self.root / "data/raw" / self.dataset

    @property
    def prepared(self) -> Path:
        return self.root / "data/prepared" / self.dataset

    @property
    def missing(self) -> Path | None:
        """The first of the prepared folder and its files of train and validation that is not there; None if all are."""
        files = (self.prepared / name for name in ("", "schema.json", "train.parquet", "validation.parquet"))
        return next((file for file in files if not file.exists()), None)

    @property
    def candidates(self) -> Path:
        return self.root / "artifacts" / self.dataset / "candidates"

    @property
    def bundle(self) -> Path:
        return self.root / "artifacts" / self.dataset / "bundle"

    @property
    def selection(self) -> Path:
        return self.root / "artifacts" / self.dataset / "selection.json"

    @property
    def report(self) -> Path:
        return self.root / "artifacts" / self.dataset / "report.html"

    @property
    def model_card(self) -> Path:
        return self.root / "artifacts" / self.dataset / "model_card.md"

    @property
    def bento(self) -> Path:
        return self.root / "artifacts" / self.dataset / f"{self.dataset}.bento"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics" / f"{self.dataset}.json"

    @property
    def data_report(self) -> Path:
        return self.root / "plots" / self.dataset / "data.html"

    @property
    def search_plots(self) -> Path:
        return self.root / "plots" / self.dataset / "search"

    @property
    def model_plots(self) -> Path:
        return self.root / "plots" / self.dataset / "model"


def var() -> Path:
    """The absolute path of the folder for state that is not an output of a stage."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve() / "var"
