"""The network: encoder, hidden layers, head."""

import keras

from models.encoders import encoder
from models.heads import head
from models.spec import Spec
from pipeline.schema import Schema


def build(spec: Spec, schema: Schema) -> keras.Model:
    """A multilayer perceptron of `depth` layers of `width` units (Rumelhart et al., 1986).

    Input `features`: float32 of shape (n_rows, schema.input_width), as `pipeline.schema.encode` gives it.
    """
    rows = keras.Input((schema.input_width,), name="features")
    hidden = encoder(schema)(rows)
    for number in range(1, spec.depth + 1):
        hidden = keras.layers.Dense(spec.width, activation=spec.activation, name=f"hidden_{number}")(hidden)
        if spec.dropout:
            hidden = keras.layers.Dropout(spec.dropout, name=f"dropout_{number}")(hidden)
    return keras.Model(rows, head(schema, hidden), name=schema.dataset)


def optimizer(spec: Spec) -> keras.optimizers.Optimizer:
    match spec.optimizer:
        case "adam":
            return keras.optimizers.Adam(spec.learning_rate)
        case "rmsprop":
            return keras.optimizers.RMSprop(spec.learning_rate)
        case "sgd":
            return keras.optimizers.SGD(spec.learning_rate, momentum=0.9)
