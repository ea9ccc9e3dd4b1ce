"""Preprocess a table that does not fit into memory: hashes → parts → columns → schema."""
