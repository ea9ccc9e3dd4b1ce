"""Splits, schema inference and encoded rows: the work of `preprocess`."""
