"""One module per stage of `dvc.yaml`, all of one shape: `run(params, paths)`."""
