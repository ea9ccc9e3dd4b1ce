"""The gates of `select.gates`: whether they fit the dataset, and whether a candidate passes."""
