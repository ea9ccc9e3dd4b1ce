"""What a person does around the pipeline: one module per `make` target that is no stage."""
