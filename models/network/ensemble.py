"""An ensemble of networks that share their hidden layers."""

import keras
from keras import ops

from models.network.layers import serializable


@serializable
class Ensemble(keras.Model):
    """Members that share their hidden layers; each has its own input factors and its own head (TabM-mini: Gorishniy et
    al., 2024, arXiv 2410.24210).

    In training the output is the prediction of each member, (n_rows, members, n_outputs), so that each member has its
    own loss. In inference it is the mean of the members, (n_rows, n_outputs).

    Args:
        trunk: (n_rows, n_inputs) → (n_rows, members, n_hidden).
        end: the output activation; the shape (n_rows, members, n_outputs) stays.
    """

    def __init__(self, trunk: keras.Model, end: keras.Model, members: int, n_outputs: int, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.trunk, self.end, self.members, self.n_outputs = trunk, end, members, n_outputs
        self.heads = keras.layers.EinsumDense(
            "nkd,kdo->nko", (members, n_outputs), bias_axes="ko", dtype="float32", name="heads"
        )

    def build(self, input_shape: tuple) -> None:
        self.heads.build(self.trunk.output_shape)
        self.built = True

    def call(self, rows, training: bool | None = None):  # type: ignore[no-untyped-def]
        members = self.end(self.heads(self.trunk(rows, training=training)))
        return members if training else ops.mean(members, axis=1)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "trunk": keras.saving.serialize_keras_object(self.trunk),
            "end": keras.saving.serialize_keras_object(self.end),
            "members": self.members,
            "n_outputs": self.n_outputs,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Ensemble":
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("trunk", "end")}
        return cls(**{**config, **parts})
