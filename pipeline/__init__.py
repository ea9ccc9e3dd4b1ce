"""From raw data to a champion: the datasets, the schema, and the stages of `dvc.yaml`."""
