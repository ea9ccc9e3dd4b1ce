"""Wine, prepared, and params for a short search on it."""

from pathlib import Path

from contracts.settings.load import Params, load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess
from tests.settings_files import copy_settings, override

ROOT = Path(__file__).parents[2]
SPACE = {"depth": 1, "width": {"type": "int", "low": 8, "high": 32}, "dropout": 0.0, "optimizer": "adam",
         "learning_rate": 0.02, "batch_size": 32}  # fmt: skip


def prepare_wine(folder: Path) -> Path:
    for stage in (fetch, preprocess):
        stage.run(load_params(ROOT / "params.yaml", "wine"), Paths("wine", folder))
    return folder


def short_search(folder: Path, **search) -> Params:
    """Params of wine, from files in the folder, with some settings of the search changed."""
    path = copy_settings(folder)
    settings = {"n_trials": 3, "keep": 2, "workers": 2, "space": SPACE}
    override(path, "wine", search=settings | search, train={"epochs": 4, "patience": 4})
    return load_params(path, "wine")
