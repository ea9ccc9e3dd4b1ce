"""Registers our Keras layers when Python starts: MLflow's server of a Keras model has no setting for it."""

from models.network import dropout, layers  # noqa: F401
