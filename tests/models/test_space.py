"""Search spaces with conditions: what is asked for, and what is refused before anything runs."""

import optuna
import pytest

from contracts.errors import UserError
from contracts.settings.load import load_params
from contracts.settings.space_problems import corner_specs
from models.search.space import suggest
from tests.settings_files import copy_settings, override

SGD = {"type": "categorical", "choices": ["adam", "sgd"]}
MOMENTUM = {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}}
WIDTH = {"type": "int", "low": 16, "high": 256, "log": True}


@pytest.fixture
def load(tmp_path):
    """Params of iris with some hyperparameters changed."""

    def changed(**space):
        path = copy_settings(tmp_path)
        override(path, "iris", search={"space": space})
        return load_params(path, "iris")

    changed.error = UserError
    return changed


def asked(space, **values) -> tuple[dict, dict]:
    """What is chosen, and what Optuna was asked for, where it answers with these values."""
    trial = optuna.trial.FixedTrial(values)
    return suggest(trial, space), trial.params


def test_a_hyperparameter_is_asked_for_where_its_condition_holds_and_only_there(load) -> None:
    space = load(optimizer=SGD, momentum=MOMENTUM, depth=1, dropout=0.0, width=32, learning_rate=0.01).search.space
    chosen, told = asked(space, optimizer="sgd", momentum=0.5)
    assert chosen["momentum"] == told["momentum"] == 0.5
    chosen, told = asked(space, optimizer="adam")
    assert "momentum" not in chosen
    assert "momentum" not in told


def test_a_condition_may_name_several_values_and_wait_for_a_conditional_one(load) -> None:
    nesterov = {"type": "categorical", "choices": [True, False], "when": {"momentum": [0.5, 0.9]}}
    momentum = {**MOMENTUM, "type": "categorical", "choices": [0.0, 0.5, 0.9]}
    del momentum["low"], momentum["high"]
    space = load(
        nesterov=nesterov, optimizer=SGD, momentum=momentum, depth=1, dropout=0.0, width=32, learning_rate=0.01
    ).search.space
    assert asked(space, optimizer="sgd", momentum=0.9, nesterov=True)[0]["nesterov"] is True
    assert "nesterov" not in asked(space, optimizer="sgd", momentum=0.0)[0]
    assert "nesterov" not in asked(space, optimizer="adam")[0]
    tried = corner_specs(space)
    assert any(spec.nesterov and spec.momentum == 0.9 for spec in tried), "the chain is followed to its end"


@pytest.mark.parametrize(
    ("layers", "values", "width"),
    [
        ("equal", {"depth": 2, "width": 64}, 64),
        ("own", {"depth": 2, "width_1": 64, "width_2": 16}, [64, 16]),
        ("own", {"depth": 1, "width_1": 64}, [64]),
    ],
)
def test_each_layer_has_its_own_width_where_they_are_not_equal(load, layers, values, width) -> None:
    fixed = {"optimizer": "adam", "dropout": 0.0, "learning_rate": 0.01}
    space = load(width={**WIDTH, "layers": layers}, depth={"type": "int", "low": 1, "high": 3}, **fixed).search.space
    assert asked(space, **values) == ({**fixed, "depth": values["depth"], "width": width,
                                       "activation": "relu"}, values)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"momentum": {**MOMENTUM, "when": {"optimiser": "sgd"}}}, "momentum.when: expected a hyperparameter, received "
         "'optimiser'; did you mean 'optimizer'?"),
        ({"momentum": {**MOMENTUM, "when": {"optimizer": "sdg"}}}, "received 'sdg'; did you mean 'sgd'?"),
        ({"momentum": {**MOMENTUM, "when": {"optimizer": "nadam"}}},
         "momentum.when: expected a value that optimizer can have here, received 'nadam'"),
        ({"momentum": {**MOMENTUM, "when": {"schedule": "cosine"}}}, "expected a hyperparameter of the space"),
        ({"momentum": {**MOMENTUM, "when": {"dropout": 0.25}}}, "expected a value that dropout can have here"),
        ({"momentum": {**MOMENTUM, "when": {"depth": True}}}, "expected a value that depth can have here"),
        ({"momentum": {**MOMENTUM, "when": {"ema": 0.5}}, "ema": {**MOMENTUM, "when": {"momentum": 0.5}}},
         "when: expected conditions without a circle, received momentum → ema → momentum"),
        ({"momentum": {**MOMENTUM, "when": {"optimizer": "adam", "nesterov": True}},
          "nesterov": {"type": "categorical", "choices": [True, False], "when": {"optimizer": "sgd"}}},
         "momentum.when: expected conditions that can hold together"),
        ({"learning_rate": {"type": "float", "low": 0.1, "high": 0.2, "when": {"optimizer": "sgd"}}},
         "learning_rate: expected in every network, because it has no default"),
        ({"momentum": {**MOMENTUM, "high": 1.0}}, "momentum: expected less than 1"),
        ({"momentum": {**MOMENTUM, "default": 2.0}}, "default between 0.0 and 0.99, received 2.0"),
        ({"width": {"type": "int", "low": 16, "high": 64, "step": 16, "default": 20}}, "default a step of 16 from 16"),
        ({"optimizer": {**SGD, "default": "nadam"}}, "default among the choices ['adam', 'sgd'], received 'nadam'"),
        ({"momentum": {**MOMENTUM, "layers": "own"}}, "momentum.layers: expected only for width"),
        ({"width": {**WIDTH, "layers": "each"}}, "width.layers: expected one of equal, own"),
        ({"width": {**WIDTH, "step": 2}}, "either log or step"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_key(load, changes, told) -> None:
    with pytest.raises(load.error) as refusal:
        load(**{"optimizer": SGD, **changes})
    assert told in str(refusal.value)


def test_a_condition_that_only_some_of_its_values_can_fulfil_is_accepted(load) -> None:
    load(optimizer=SGD, momentum={**MOMENTUM, "when": {"optimizer": ["sgd", "nadam"]}})
