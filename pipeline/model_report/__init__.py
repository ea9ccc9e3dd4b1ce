"""The report of a model and its model card: slices, pictures → facts → page and card."""
