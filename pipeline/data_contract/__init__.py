"""Rules for later data of a dataset: contract → breaks → enforcement."""
