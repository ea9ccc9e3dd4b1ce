"""A weighted mean of whole networks as one network."""

from collections.abc import Sequence

import keras

from models.network.layers import serializable


@serializable
class Average(keras.Model):
    """The mean of networks with the same inputs and outputs, each with its share: (n_rows, n_inputs) → (n_rows,
    n_outputs).

    Args:
        networks: trained ones with one output; the mean is not trained.
        shares: one for each, with a sum of 1.
    """

    def __init__(self, networks: Sequence[keras.Model], shares: Sequence[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.networks, self.shares = list(networks), [float(share) for share in shares]
        for number, network in enumerate(self.networks, 1):
            network.name = f"network_{number}"

    def build(self, input_shape: tuple) -> None:
        self.built = True  # each network is built already

    def call(self, rows, training: bool | None = None):  # type: ignore[no-untyped-def]
        # Always inference: in training an ensemble gives the prediction of each of its members.
        parts = zip(self.shares, self.networks, strict=True)
        return sum(share * network(rows, training=False) for share, network in parts)

    def get_config(self) -> dict:
        networks = [keras.saving.serialize_keras_object(network) for network in self.networks]
        return {"name": self.name, "networks": networks, "shares": self.shares}

    @classmethod
    def from_config(cls, config: dict) -> "Average":
        networks = [keras.saving.deserialize_keras_object(network) for network in config["networks"]]
        return cls(**{**config, "networks": networks})
