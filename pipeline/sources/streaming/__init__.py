"""Fetch files that do not fit into memory: size → batches → types → conversion → one table."""
