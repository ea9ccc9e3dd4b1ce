"""The Bento's service: processes, health and metrics are BentoML's, the routes are `serving.app`'s."""

import json
from pathlib import Path

import bentoml

from serving.app import make_app
from serving.predictor import Predictor

HOME = Path(__file__).parent.parent  # the Bento's root, beside the packages
predictor = Predictor(HOME / "bundle")
settings = json.loads((HOME / "settings.json").read_text())


@bentoml.service(workers=settings["workers"], metrics={"enabled": True})
@bentoml.asgi_app(make_app(predictor, version=settings["version"]), path="/")
class Prediction:
    """Predictions of one model over HTTP."""
