"""The training of one network, its checkpoints and its export. Imports `models.network`."""
