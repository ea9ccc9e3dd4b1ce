"""The networks: encoder, hidden layers, head, put together as the spec's family says."""

import keras

from contracts.schema import Schema
from contracts.spec import Spec
from models.network import layers
from models.network.encoders import encode
from models.network.ensemble import Ensemble
from models.network.heads import activate, n_outputs

INITIALIZERS = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros"}
MAIN, AUXILIARY = "prediction", "auxiliary"  # the names of outputs


def build(spec: Spec, schema: Schema) -> keras.Model:
    """The network of a spec, with the input `features`: float32 of shape (n_rows, schema.input_width), as
    `contracts.schema.encode` gives it.

    Its output has the shape (n_rows, n_outputs); with an auxiliary one it is a dict by name.
    """
    if spec.precision != "float32":
        keras.config.set_dtype_policy(spec.precision)
    try:
        rows = keras.Input((schema.input_width,), name="features")
        match spec.family:
            case "sequential":
                outputs = head(spec, schema, MAIN, hidden(spec, encode(spec, schema, rows)))
                return keras.Model(rows, outputs, name=schema.dataset)
            case "wide_deep":
                return _wide_deep(spec, schema, rows)
            case "ensemble":
                members = layers.MemberScale(spec.members)(encode(spec, schema, rows))
                trunk = keras.Model(rows, hidden(spec, members), name="trunk")
                raw = keras.Input((spec.members, n_outputs(schema)))
                end = keras.Model(raw, activate(spec, schema, MAIN, raw), name="activation")
                ensemble = Ensemble(trunk, end, spec.members, n_outputs(schema), name=schema.dataset)
                ensemble.build((None, schema.input_width))
                return ensemble
    finally:
        if spec.precision != "float32":
            keras.config.set_dtype_policy("float32")


def in_32_bits(network: keras.Model, spec: Spec, schema: Schema) -> keras.Model:
    """The network itself, or where it was trained in mixed precision one that computes in 32 bits with the same
    weights: what serves runs on a CPU, where 16 bits cost accuracy and win nothing.
    """
    if spec.precision == "float32":
        return network
    same = build(spec.model_copy(update={"precision": "float32"}), schema)
    same.set_weights(network.get_weights())
    return same


def hidden(spec: Spec, values: keras.KerasTensor) -> keras.KerasTensor:
    """The hidden layers (Rumelhart et al., 1986): dense, normalised, activated, dropped out, added to what
    came in where `spec.residual` is set and the widths agree (He et al., 2016).
    """
    for number, width in enumerate(spec.widths, 1):
        came_in = values
        values = keras.layers.Dense(width, name=f"hidden_{number}", **_dense(spec))(values)
        if spec.normalization == "batch":
            values = keras.layers.BatchNormalization(name=f"normalised_{number}")(values)
        elif spec.normalization == "layer":
            values = keras.layers.LayerNormalization(name=f"normalised_{number}")(values)
        activation = layers.gelu if spec.activation == "gelu" else spec.activation
        values = keras.layers.Activation(activation, name=f"activated_{number}")(values)
        if spec.dropout:
            values = keras.layers.Dropout(spec.dropout, name=f"dropout_{number}")(values)
        if spec.residual and came_in.shape == values.shape:
            values = keras.layers.Add(name=f"added_{number}")([came_in, values])
    return values


def head(spec: Spec, schema: Schema, name: str, values: keras.KerasTensor) -> keras.KerasTensor:
    # In 32 bits whatever the precision of the rest: the softmax of 16-bit numbers loses what the loss needs.
    dense = keras.layers.Dense(
        n_outputs(schema), kernel_initializer=_initializer(spec), dtype="float32", name=f"{name}_raw"
    )
    return activate(spec, schema, name, dense(values))


def _wide_deep(spec: Spec, schema: Schema, rows: keras.KerasTensor) -> keras.Model:
    """Inputs joined to what the hidden layers make of them (Cheng et al., 2016, arXiv 1606.07792).

    With paths over named features the network proper has the inputs `wide` and `deep`, passed by name; the
    graph around it takes both from the one table that is served.
    """
    if spec.wide is None or spec.deep is None:
        wide = encode(spec, schema, rows)
        deep = hidden(spec, wide)
        outputs = _outputs(spec, schema, wide, deep)
        return keras.Model(rows, outputs, name=schema.dataset)
    names = [feature.name for feature in schema.features]
    columns = {path: [names.index(name) for name in chosen] for path, chosen in _paths(spec).items()}
    inputs = {path: keras.Input((len(chosen),), name=path) for path, chosen in columns.items()}
    encoded = {
        path: encode(spec, schema, inputs[path], tuple(schema.features[i] for i in chosen))
        for path, chosen in columns.items()
    }
    outputs = _outputs(spec, schema, encoded["wide"], hidden(spec, encoded["deep"]))
    inner = keras.Model(inputs, outputs, name="wide_deep")
    passed = {path: layers.Columns(chosen, name=f"{path}_columns")(rows) for path, chosen in columns.items()}
    return keras.Model(rows, inner(passed), name=schema.dataset)


def _paths(spec: Spec) -> dict[str, tuple[str, ...]]:
    return {"wide": spec.wide or (), "deep": spec.deep or ()}


def _outputs(spec: Spec, schema: Schema, wide: keras.KerasTensor, deep: keras.KerasTensor):  # type: ignore[no-untyped-def]
    main = head(spec, schema, MAIN, keras.layers.Concatenate(name="joined")([wide, deep]))
    if not spec.auxiliary_weight:
        return main
    return {MAIN: main, AUXILIARY: head(spec, schema, AUXILIARY, deep)}


def _initializer(spec: Spec) -> str:
    return INITIALIZERS.get(spec.initializer, spec.initializer)


def _dense(spec: Spec) -> dict:
    return {
        "kernel_initializer": _initializer(spec),
        "kernel_regularizer": keras.regularizers.L2(spec.l2) if spec.l2 else None,
        "kernel_constraint": keras.constraints.MaxNorm(spec.max_norm) if spec.max_norm else None,
    }
