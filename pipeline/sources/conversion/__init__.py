"""Columns as a file has them → numbers, timestamps and text."""
