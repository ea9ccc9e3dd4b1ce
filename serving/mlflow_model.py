"""The bundle as an MLflow model. MLflow runs this file when it loads the model ("models from code")."""

import warnings
from pathlib import Path

import mlflow.models
import mlflow.pyfunc
import pandas as pd

from contracts.encoding import answer, answer_names, encode
from serving.predictor import Predictor

# MLflow warns that type hints are missing, although the model has a signature. A filter does not silence this warning;
# recording it does.
with warnings.catch_warnings(record=True):

    class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
        """Predicts for raw rows: a DataFrame by feature name, or an array of images."""

        def load_context(self, context) -> None:  # type: ignore[no-untyped-def]
            self.predictor = Predictor(Path(context.artifacts["bundle"]))

        def predict(self, context, model_input, params=None) -> pd.DataFrame:  # type: ignore[no-untyped-def]
            """One column of probabilities per class, or one column per number; one row per input row."""
            schema = self.predictor.schema
            columns = {schema.image.name: model_input} if schema.image else model_input
            outputs = self.predictor.outputs(encode(schema, columns))
            return pd.DataFrame(answer(schema, outputs), columns=list(answer_names(schema)))


mlflow.models.set_model(BundleModel())
