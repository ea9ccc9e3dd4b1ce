"""Commands around the pipeline: one function for each `make` target that runs no single stage, grouped by subject."""
