"""What a person does around the pipeline: one function for each `make` target that is no stage, grouped by subject."""
