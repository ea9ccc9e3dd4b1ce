"""Python runs this at its start: MLflow's server of a Keras model then knows our layers; it has no setting for it."""

from models.network import layers  # noqa: F401
