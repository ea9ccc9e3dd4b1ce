"""What later data of a dataset must be: contract → breaks → enforcement."""
