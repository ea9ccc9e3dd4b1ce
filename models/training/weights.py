"""What each row counts in the loss, and where a network starts from."""

from pathlib import Path

import keras
import numpy as np

from contracts.schema import Schema
from models.network import heads
from models.training.data import Split


def weighted(split: Split, schema: Schema, class_weights: str | dict[str, float]) -> Split:
    """The split with each row's weight times the weight of its class."""
    of_classes = heads.class_weights(schema, class_weights)
    if of_classes is None:
        return split
    weight = of_classes[np.asarray(split.target)]
    return split._replace(weight=weight if split.weight is None else weight * split.weight)


def start_from(network: keras.Model, bundle: Path, layers: int, frozen: bool) -> None:
    """Take the weights of the first hidden layers, and of how they are normalised, from another bundle.

    Its lower layers know features that a related task can use (Géron, chapter 11).

    Raises:
        ValueError: where a layer has another shape there.
    """
    source = _hidden_layers(keras.models.load_model(bundle / "model.keras", compile=False))
    for name, layer in _hidden_layers(network).items():
        if int(name.rsplit("_", 1)[1]) > layers:
            continue
        theirs = [weight.shape for weight in source[name].weights]
        ours = [weight.shape for weight in layer.weights]
        if theirs != ours:
            raise ValueError(f"{name} of {bundle}: expected weights of {ours}, received {theirs}")
        layer.set_weights(source[name].get_weights())
        layer.trainable = not frozen


def _hidden_layers(network: keras.Model) -> dict[str, keras.layers.Layer]:
    layers = network._flatten_layers(include_self=False)
    return {layer.name: layer for layer in layers if layer.name.startswith(("hidden_", "normalised_"))}
