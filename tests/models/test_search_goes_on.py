"""A search that died leaves trials that the next one goes on with."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from models.search import RESUMES, Objective, finished_trials, open_study
from models.trial import Data
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path):
    document = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(document, file)
    return load_params(tmp_path / "params.yaml", "iris")


def test_a_trial_left_running_is_asked_for_again_with_its_seed_and_checkpoint(params, tmp_path):
    objective = Objective(Data(tmp_path, tmp_path / "schema.json"), "log_loss", False, params.train)
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    dead = open_study("s", storage, params.search, objective).ask()
    dead.suggest_int("depth", 1, 3)
    for expected in (1, 2):  # the second search dies too
        study = open_study("s", storage, params.search, objective)
        again = study.ask()
        assert again.number == expected
        assert again.user_attrs[RESUMES] == dead.number
        assert again.suggest_int("depth", 1, 3) == dead.params["depth"]
    assert finished_trials(study) == []
