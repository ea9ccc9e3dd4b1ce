"""The bundle: the folder that training writes, and that selection, tracking and serving read.

model.onnx      for inference
model.keras     for fine-tuning and another export
schema.json     the frozen schema
history.csv     losses and metrics of every epoch
background.npy  a few encoded train rows, with which a row is compared to explain its prediction; tables only
conformal.npy   scores of the validation rows, for prediction sets and intervals; conformal_by_row.npy has them row by
                row with the codes of the categories, for those of a group; tables with categories only
manifest.json   provenance, validation metrics, and the sha256 of every other file
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from contracts.files import sha256

if TYPE_CHECKING:
    from contracts.schema import Schema

MANIFEST = "manifest.json"
BACKGROUND = "background.npy"  # absent in older bundles and for images
REQUIRED = ("model.onnx", "schema.json")  # a bundle gives no prediction without them


class Calibration(BaseModel):
    """The scale and the shift of a network's logits, one for all classes or one for each label.

    The log losses are those of the validation rows: as trained, and with each fold calibrated by the other folds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    log_loss_before: float
    log_loss_cross_fitted: float


class Member(BaseModel):
    """A network of an ensemble of trials: the values that train it again, and its share in the mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: int
    seed: int
    threads: int
    hyperparameters: dict[str, Any]
    share: float


class Manifest(BaseModel):
    """The provenance of a bundle. `files` maps each file name to the sha256 of its content.

    `calibration` is None where the probabilities are those of the trained network. A bundle with `members` is their
    mean; `hyperparameters`, `seed`, `threads` and `trial` are those of the member with the largest share. A bundle with
    `teachers` is one network that imitates their mean; it has the same values as the teacher with the largest share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    task: str
    metric: str
    validation: dict[str, float]
    hyperparameters: dict[str, Any]
    seed: int
    threads: int
    trial: int
    study: str
    best_epoch: int
    n_parameters: int
    train_md5: str
    validation_md5: str
    git_revision: str
    mlflow_run_id: str
    versions: dict[str, str]
    calibration: Calibration | None = None
    members: tuple[Member, ...] = ()
    teachers: tuple[Member, ...] = ()
    threshold: float | None = None  # probability from which on the second of two classes is predicted; None for 0.5
    files: dict[str, str] = {}

    @property
    def made_of(self) -> str:
        """The trial, or the trials of an ensemble or of teachers with their shares, in words."""
        parts = self.members or self.teachers
        if not parts:
            return f"trial {self.trial}"
        mean = "the mean of " + ", ".join(f"trial {member.trial} ({member.share:.0%})" for member in parts)
        return mean if self.members else f"a network like that of trial {self.trial} that imitates {mean}"


class BundleDamaged(Exception):
    """A file of the bundle is missing, not in the manifest, changed, or cannot be loaded; the message has its name."""


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the hash of every other file; returns the manifest as written."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    sealed = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(sealed.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return sealed


def open_bundle(folder: Path) -> "tuple[Manifest, Schema]":
    """Read a bundle after a check of every file.

    Raises:
        BundleDamaged: with the name of the file.
    """
    from contracts.schema import load_schema  # imported here: `check_bundle` starts faster without it

    manifest = check_bundle(folder)
    try:
        return manifest, load_schema(folder / "schema.json")
    except (OSError, ValueError, RecursionError) as error:
        raise BundleDamaged(f"{folder / 'schema.json'} is not a schema: {_short(error)}") from None


def check_bundle(folder: Path) -> Manifest:
    """The manifest, after a check of every file: it lists the files that a prediction needs, and every file of the
    folder.

    Raises:
        BundleDamaged: with the name of the file.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        present = {path.name for path in folder.iterdir()} - {MANIFEST}
        if missing := [name for name in (*REQUIRED, *manifest.files) if name not in present & manifest.files.keys()]:
            raise BundleDamaged(f"{folder / missing[0]} is missing, or {MANIFEST} does not list it")
        if unlisted := sorted(present - manifest.files.keys()):
            raise BundleDamaged(f"{folder / unlisted[0]}: expected only files that {MANIFEST} lists")
        for name, expected in manifest.files.items():
            if (received := sha256(folder / name)) != expected:
                raise BundleDamaged(f"{folder / name} was changed: expected sha256 {expected}, received {received}")
    except (OSError, ValueError, RecursionError) as error:
        place = getattr(error, "filename", None) or folder / MANIFEST
        raise BundleDamaged(f"{place} cannot be read: {_short(error)}") from None
    return manifest


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:300]
