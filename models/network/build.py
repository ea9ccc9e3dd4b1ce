"""Networks from specs: encoder, hidden layers and head, connected by family."""

import keras

from contracts.schema import Schema, columns_of
from contracts.spec import Spec
from models.network import layers, table_layers
from models.network.dropout import Dropout
from models.network.encoders import encode
from models.network.ensemble import Ensemble
from models.network.heads import activate, n_outputs

MAIN, AUXILIARY = "prediction", "auxiliary"  # names of the outputs


def build(spec: Spec, schema: Schema) -> keras.Model:
    """The network of a spec. Its input is `features`: float32 of shape (n_rows, schema.input_width), from
    `contracts.encoding.encode`.

    Its output has the shape (n_rows, n_outputs); with an auxiliary output it is a dict of both by name.
    """
    if spec.precision != "float32":
        keras.config.set_dtype_policy(spec.precision)
    try:
        rows = keras.Input((schema.input_width,), name="features")
        match spec.family:
            case "sequential":
                outputs = head(spec, schema, MAIN, hidden_layers(spec, encode(spec, schema, rows)))
                return keras.Model(rows, outputs, name=schema.dataset)
            case "wide_deep":
                return _wide_deep(spec, schema, rows)
            case "ensemble":
                members = layers.MemberScale(spec.members, spec.dealt_to)(encode(spec, schema, rows))
                trunk = keras.Model(rows, hidden_layers(spec, members), name="trunk")
                raw = keras.Input((spec.members, n_outputs(schema)))
                end = keras.Model(raw, activate(spec, schema, MAIN, raw), name="activation")
                ensemble = Ensemble(trunk, end, spec.members, n_outputs(schema), name=schema.dataset)
                ensemble.build((None, schema.input_width))
                return ensemble
    finally:
        if spec.precision != "float32":
            keras.config.set_dtype_policy("float32")


def to_float32(network: keras.Model, spec: Spec, schema: Schema) -> keras.Model:
    """A network of the same weights that computes in float32; the network itself where it does so already.

    Inference runs on CPUs, where 16 bits cost accuracy and save no time.
    """
    if spec.precision == "float32":
        return network
    converted = build(spec.model_copy(update={"precision": "float32"}), schema)
    converted.set_weights(network.get_weights())
    return converted


def hidden_layers(spec: Spec, values: keras.KerasTensor) -> keras.KerasTensor:
    """Hidden layers (Rumelhart et al., 1986): dense, normalisation, activation, dropout.

    With `spec.residual` a skip connection goes around layers whose input has their width (He et al., 2016).
    """
    for number, width in enumerate(spec.widths, 1):
        skip = values
        values = keras.layers.Dense(width, name=f"hidden_{number}", **_dense_arguments(spec))(values)
        if spec.normalization == "batch":
            values = keras.layers.BatchNormalization(name=f"normalised_{number}")(values)
        elif spec.normalization == "layer":
            values = keras.layers.LayerNormalization(name=f"normalised_{number}")(values)
        if spec.parametric:
            values = table_layers.Parametric(spec.activation, name=f"activated_{number}")(values)
        else:
            activation = layers.gelu if spec.activation == "gelu" else spec.activation
            values = keras.layers.Activation(activation, name=f"activated_{number}")(values)
        if spec.dropout:
            values = Dropout(spec.dropout, name=f"dropout_{number}")(values)
        if spec.residual and skip.shape == values.shape:
            values = keras.layers.Add(name=f"added_{number}")([skip, values])
    return values


def head(spec: Spec, schema: Schema, name: str, values: keras.KerasTensor) -> keras.KerasTensor:
    """The output layer with its activation: (n_rows, n_hidden) → (n_rows, n_outputs)."""
    # Always in float32: a softmax in 16 bits loses digits that the loss needs.
    dense = keras.layers.Dense(
        n_outputs(schema), kernel_initializer=spec.initializer, dtype="float32", name=f"{name}_raw"
    )
    return activate(spec, schema, name, dense(values))


def _wide_deep(spec: Spec, schema: Schema, rows: keras.KerasTensor) -> keras.Model:
    """A wide and deep network (Cheng et al., 2016, arXiv 1606.07792): the head reads the encoded inputs and the
    output of the hidden layers.

    With paths over named features the inner network has the two inputs `wide` and `deep`; the outer one has the same
    single input as every other network, and selects the columns of both.
    """
    if spec.wide is None or spec.deep is None:
        wide = encode(spec, schema, rows)
        deep = hidden_layers(spec, wide)
        outputs = _outputs(spec, schema, wide, deep)
        return keras.Model(rows, outputs, name=schema.dataset)
    owners = [feature.name for feature in schema.features for _ in columns_of(feature)]
    inputs, encoded, selected = {}, {}, {}
    for path, chosen in {"wide": spec.wide, "deep": spec.deep}.items():
        columns = [i for name in chosen for i, owner in enumerate(owners) if owner == name]
        inputs[path] = keras.Input((len(columns),), name=path)
        encoded[path] = encode(spec, schema, inputs[path], tuple(schema.inputs[i] for i in columns))
        selected[path] = layers.Columns(columns, name=f"{path}_columns")(rows)
    outputs = _outputs(spec, schema, encoded["wide"], hidden_layers(spec, encoded["deep"]))
    inner = keras.Model(inputs, outputs, name="wide_deep")
    return keras.Model(rows, inner(selected), name=schema.dataset)


def _outputs(spec: Spec, schema: Schema, wide: keras.KerasTensor, deep: keras.KerasTensor):  # type: ignore[no-untyped-def]
    main = head(spec, schema, MAIN, keras.layers.Concatenate(name="joined")([wide, deep]))
    if not spec.auxiliary_weight:
        return main
    return {MAIN: main, AUXILIARY: head(spec, schema, AUXILIARY, deep)}


def _dense_arguments(spec: Spec) -> dict:
    return {
        "kernel_initializer": spec.initializer,
        "kernel_regularizer": keras.regularizers.L2(spec.l2) if spec.l2 else None,
        "kernel_constraint": keras.constraints.MaxNorm(spec.max_norm) if spec.max_norm else None,
    }
