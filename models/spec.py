"""What a network and its training are, as data. Nothing here imports TensorFlow."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """The hyperparameters of a multilayer perceptron: what a search may vary, and no more."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    depth: Annotated[int, Field(ge=0, le=32)]
    width: Annotated[int, Field(ge=1, le=65_536)]
    activation: Literal["relu", "selu", "gelu", "silu", "tanh", "sigmoid"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    optimizer: Literal["adam", "rmsprop", "sgd"]
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    batch_size: Annotated[int, Field(ge=1)]
