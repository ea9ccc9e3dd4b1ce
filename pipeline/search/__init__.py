"""A study from its plan to its candidates, logged and shown: the work of `train`. Imports `pipeline.tracking`."""
