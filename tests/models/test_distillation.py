"""A network that imitates a teacher, and learns nothing from the targets of the data."""

import keras
import numpy as np
import optuna
import pytest

from contracts.bundle import Member
from contracts.metrics import BY_NAME
from contracts.settings.load import load_params
from models.network.build import build
from models.network.heads import labels, loss
from models.search.train_trial import train
from models.search.trial import TrialTask
from models.search.workers.pool import JobFailed
from models.training.calibration import predict
from models.training.data import Data
from models.training.export import inference_model
from pipeline.paths import Paths
from pipeline.search.ensembles import _with_distilled
from tests.models.instant import iris, plan_of
from tests.models.wine import ROOT

DEALT = {"family": "ensemble", "members": 4, "members_per_row": 2}


@pytest.mark.parametrize(
    ("task", "levels", "hyperparameters"),
    [
        ("multiclass", (), {}),
        ("multiclass", (), {**DEALT, "label_smoothing": 0.1}),
        ("binary", (), DEALT),
        ("multilabel", (), {"family": "wide_deep", "auxiliary_weight": 0.3}),
        ("regression", (), {}),
        ("regression", (0.1, 0.5, 0.9), DEALT),
    ],
)
def test_a_network_learns_what_its_teacher_predicts_and_not_the_targets(
    task, levels, hyperparameters, spec_of, data_of, tmp_path
) -> None:
    schema, split = data_of(task, quantiles=levels)
    schema.save(tmp_path / "schema.json")
    data = Data(tmp_path, tmp_path / "schema.json")
    for part in ("train", "validation"):
        data.save(part, split._replace(weight=np.linspace(0.5, 1.5, len(split.target), dtype=np.float32)))
    keras.utils.set_random_seed(7)
    teacher = inference_model(build(spec_of(), schema))
    teacher.save(tmp_path / "teacher.keras")
    trial = TrialTask(
        data=data,
        hyperparameters=spec_of(learning_rate=0.02, **hyperparameters).model_dump(),
        seed=1,
        monitor="rmse" if task == "regression" else "log_loss",
        higher_is_better=False,
        train=load_params(ROOT / "params.yaml", "iris").train.model_copy(update={"epochs": 20, "patience": 20}),
        report_every=1,
        threads=0,
        teacher=tmp_path / "teacher.keras",
    )
    result = train(trial, tmp_path / "network.keras", lambda *_: None)
    taught = keras.models.load_model(tmp_path / "network.keras", compile=False)
    wanted = predict(teacher, split.features)

    def distance(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean((values - wanted) ** 2)))

    targets = labels(schema, np.asarray(split.target), as_shares=True)
    assert distance(predict(taught, split.features)) < 0.3 * distance(targets)
    assert result.history["val_" + trial.monitor][result.best_epoch] == result.value, "judged by the targets"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_shares_is_that_of_codes_where_one_class_has_all(smoothing, spec_of, data_of) -> None:
    schema, split = data_of("multiclass")
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], len(split.target)).astype(np.float32)
    spec, codes = spec_of(label_smoothing=smoothing), np.asarray(split.target)
    of_shares = loss(spec, schema, of_shares=True)(labels(schema, codes, as_shares=True), probabilities)
    np.testing.assert_allclose(of_shares, loss(spec, schema)(codes, probabilities), rtol=1e-5)


def test_a_training_that_fails_leaves_the_ensemble(tmp_path) -> None:
    class Fails:
        def start(self, *_, **__) -> None: ...

        def result(self) -> None:
            raise JobFailed("TrialDiverged: the loss is nan")

    member = Member(trial=3, seed=4, threads=1, hyperparameters={}, share=1.0).model_dump()
    ensemble = optuna.trial.create_trial(value=0.5, user_attrs={"members": [member]})
    data, bundles, said = Data(tmp_path, tmp_path / "schema.json"), {tmp_path / "1": ensemble}, []
    plan = plan_of(iris(), BY_NAME["log_loss"])
    left = _with_distilled(
        plan, ensemble, tmp_path, 0.4, 0.0, bundles, Paths("iris", tmp_path), Fails(), data, lambda _: "", said.append
    )
    assert left == bundles
    assert said[-1] == "the ensemble stays the first candidate: TrialDiverged: the loss is nan"
