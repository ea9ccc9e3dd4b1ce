"""The functions that run in the process of one trial: training and export. Importing this module imports TensorFlow,
quietly.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import keras
import numpy as np

from contracts import conformal
from contracts.bundle import Calibration
from contracts.files import write_atomically
from contracts.metrics import BY_NAME
from contracts.quantiles import judged
from contracts.schema import load_schema
from contracts.spec import Spec
from models.network.average import Average
from models.search.trial import TrialResult, TrialTask
from models.training.calibration import (
    apply_calibration,
    fit_calibration,
    member_probabilities,
    member_weights,
    predict,
)
from models.training.class_weights import apply_class_weights
from models.training.data import Data, Split
from models.training.distillation import with_predictions
from models.training.export import ExportFailed, export, inference_model
from models.training.fine_tuning import reuse_layers
from models.training.fit import Fitted, fit
from models.training.latency import latency
from models.training.stream import Stream

SEEDS_APART = 1_000_003  # distance between the seeds of a trial's initialisations, larger than between trials

COMPARED_ROWS = 256  # validation rows on which graphs are compared and timed

OnEpoch = Callable[[int, float], None]  # called with an epoch or a fold, from 0, and a value; raises to end the trial


def train(task: TrialTask, save_to: Path, on_epoch: OnEpoch) -> TrialResult:
    """Train one configuration, report its epochs, and save the network of the best one.

    Raises:
        TrialDiverged: when the loss is NaN or infinite.
    """
    use_threads(task.threads)
    started = time.perf_counter()
    fitted, values = _best_of_restarts(task, 0, on_epoch)
    with write_atomically(save_to) as unfinished:
        fitted.network.save(unfinished)
    result = _result(task, fitted, started, _value(task, fitted), fitted.best_epoch)
    return replace(result, history=fitted.history, values_of_restarts=values)


def train_folds(task: TrialTask, save_to: Path, on_epoch: OnEpoch) -> TrialResult:
    """Train one configuration once for each fold, and report each fold. Nothing is saved.

    The folds in the checkpoint of a trial that was killed are reported again, but not trained again.

    Raises:
        TrialDiverged: when the loss is NaN or infinite.
    """
    use_threads(task.threads)
    started = time.perf_counter()
    checkpoint = task.checkpoint and task.checkpoint.with_name(f"{task.checkpoint.name}_folds.json")
    ended = json.loads(checkpoint.read_text()) if checkpoint and checkpoint.exists() else []
    for number in range(task.folds):
        if number == len(ended):
            fold = replace(task, data=task.data.fold(number))
            fitted, _ = _best_of_restarts(fold, number * task.train.restarts, _ignore)
            ended.append((_value(task, fitted), fitted.best_epoch))
            if checkpoint and len(ended) < task.folds:  # the last fold is trained again: its network gives the size
                with write_atomically(checkpoint) as unfinished:
                    unfinished.write_text(json.dumps(ended))
        values, epochs = zip(*ended[: number + 1], strict=True)
        on_epoch(number, float(np.mean(values)) if task.reports_mean else values[-1])
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    result = _result(task, fitted, started, float(np.mean(values)), round(np.mean(epochs)))
    return replace(result, values_of_folds=values)


def _result(task: TrialTask, fitted: Fitted, started: float, value: float, best_epoch: int) -> TrialResult:
    return TrialResult(
        value=value,
        best_epoch=best_epoch,
        history={},
        n_parameters=fitted.network.count_params(),
        seconds=time.perf_counter() - started,
        threads=task.threads,
        values_of_restarts=(),
        latency=latency(fitted.network, _first_rows(task.data)) if task.measures_latency else None,
    )


def _first_rows(data: Data) -> np.ndarray:
    """The first validation rows, on which graphs are compared and timed."""
    return np.array(data.split("validation").features[:COMPARED_ROWS])


def export_bundle(
    saved: Path, folder: Path, data: Data, calibrate: bool, on_epoch: OnEpoch
) -> Calibration | str | None:
    """Export a trained network with its conformal scores; the graphs are compared on the first validation rows.

    Args:
        calibrate: whether probabilities may be calibrated on the validation rows.

    Returns:
        The calibration, None without one, or the reason why the network cannot be exported.
    """
    use_threads(0)
    schema, validation = load_schema(data.schema), data.split("validation")
    network = keras.models.load_model(saved, compile=False)
    calibration = None
    if calibrate and schema.task != "regression":
        members = member_probabilities(network, validation.features)
        calibration = fit_calibration(members, validation.target, member_weights(network))
        if calibration is not None:
            apply_calibration(network, calibration)
    try:
        export(network, folder, np.array(validation.features[:COMPARED_ROWS]))
    except ExportFailed as error:
        return str(error)
    predictions = predict(network, validation.features)
    if schema.task == "binary":
        predictions = np.concatenate([1 - predictions, predictions], axis=1)
    conformal.save_scores(folder, schema, validation.features, validation.target, predictions)
    return calibration


def predict_validation(saved: list[Path], data: Data, metric: str, on_epoch: OnEpoch) -> list[np.ndarray]:
    """The predictions of trained networks for the validation rows, as a metric takes them."""
    use_threads(0)
    schema, rows = load_schema(data.schema), data.split("validation").features
    networks = (keras.models.load_model(path, compile=False) for path in saved)
    return [judged(BY_NAME[metric], schema, predict(network, rows)) for network in networks]


def average(saved: list[Path], shares: list[float], task: TrialTask, save_to: Path, on_epoch: OnEpoch) -> TrialResult:
    """Save the weighted mean of trained networks as one network; the result has its value on the validation rows."""
    use_threads(0)
    started, schema, validation = time.perf_counter(), load_schema(task.data.schema), task.data.split("validation")
    networks = [inference_model(keras.models.load_model(path, compile=False)) for path in saved]
    network = Average(networks, shares, name=schema.dataset)
    network.build((None, schema.input_width))
    metric, outputs = BY_NAME[task.monitor], predict(network, validation.features)
    save_to.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(save_to) as unfinished:
        network.save(unfinished)
    value = metric.compute(validation.target, judged(metric, schema, outputs))
    return _result(task, Fitted(network, {}, 0), started, value, 0)


def _best_of_restarts(task: TrialTask, first: int, on_epoch: OnEpoch) -> tuple[Fitted, tuple[float, ...]]:
    """Train from `train.restarts` initialisations; return the best, and the values of all.

    Args:
        first: the number of the first initialisation, which decides its seed.
        on_epoch: called for the first initialisation only, because a trial is pruned only once.
    """
    attempts = [_fit(task, first + n, _ignore if n else on_epoch) for n in range(task.train.restarts)]
    values = tuple(_value(task, fitted) for fitted in attempts)
    best = (np.argmax if task.higher_is_better else np.argmin)(values)
    return attempts[best], values


def _fit(task: TrialTask, initialisation: int, on_epoch: OnEpoch) -> Fitted:
    schema = load_schema(task.data.schema)
    settings = task.train
    assert settings.epochs != "auto", "the plan has decided"

    def prepare(network: keras.Model) -> None:
        if settings.fine_tune is not None:
            reuse_layers(network, Path(settings.fine_tune.bundle), settings.fine_tune.layers, settings.fine_tune.frozen)

    def report(epoch: int, value: float) -> None:
        if epoch % task.report_every == 0:
            on_epoch(epoch, value)

    rows = task.data.split("train")
    train: Split | Stream
    if task.data.streams:
        train = Stream(rows, schema, settings.class_weights)
    else:
        train = apply_class_weights(rows, schema, settings.class_weights)
        if task.teacher is not None:
            train = with_predictions(train, task.teacher)
    return fit(
        Spec(**task.hyperparameters),
        schema,
        train,
        task.data.split("validation"),
        monitor=task.monitor,
        higher_is_better=task.higher_is_better,
        epochs=settings.epochs,
        patience=settings.patience,
        seed=task.seed + SEEDS_APART * initialisation,
        on_epoch=report,
        prepare=prepare,
        checkpoint=task.checkpoint and task.checkpoint.with_name(f"{task.checkpoint.name}_{initialisation}.npz"),
    )


def _value(task: TrialTask, fitted: Fitted) -> float:
    return float(fitted.history[f"val_{task.monitor}"][fitted.best_epoch])


def _ignore(epoch: int, value: float) -> None:
    """Report nothing."""
