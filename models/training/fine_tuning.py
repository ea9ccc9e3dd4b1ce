"""Fine-tuning: a new network with the lower hidden layers of a trained one (Géron, chapter 11)."""

from pathlib import Path

import keras


def reuse_layers(network: keras.Model, bundle: Path, layers: int, frozen: bool) -> None:
    """Copy the weights of the first hidden layers, with their normalisation, from a bundle.

    Args:
        frozen: exclude the copied layers from training.

    Raises:
        ValueError: if a layer of the bundle has another shape.
    """
    source = _hidden_layers(keras.models.load_model(bundle / "model.keras", compile=False))
    for name, layer in _hidden_layers(network).items():
        if int(name.rsplit("_", 1)[1]) > layers:
            continue
        expected = [weight.shape for weight in layer.weights]
        received = [weight.shape for weight in source[name].weights]
        if received != expected:
            raise ValueError(f"{name} of {bundle}: expected weights of {expected}, received {received}")
        layer.set_weights(source[name].get_weights())
        layer.trainable = not frozen


def _hidden_layers(network: keras.Model) -> dict[str, keras.layers.Layer]:
    layers = network._flatten_layers(include_self=False)
    return {layer.name: layer for layer in layers if layer.name.startswith(("hidden_", "normalised_"))}
