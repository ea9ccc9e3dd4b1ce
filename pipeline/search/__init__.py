"""A study from its plan to its candidates, logged and shown. What `train` does. Imports `pipeline.tracking`."""
