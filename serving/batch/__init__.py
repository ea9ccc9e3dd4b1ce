"""Predictions for files and folders, without a service; order: file → parts."""
