"""From a bundle to predictions, over HTTP or for a file.

Imports `contracts`. The parts in the order of their imports, each importing those before it: `errors`, `settings`,
`predictor` and `explanation`; `parsing`; `validation`; `metrics` and `batch`; `model`; `protocols`; `openapi` and
`page`; `http`; the entry points `service` (BentoML), `mlflow_model` (MLflow) and `predict_sample` (packaging); and
`answer_sample` (packaging).
"""
