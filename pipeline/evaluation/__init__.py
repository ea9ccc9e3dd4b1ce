"""Baselines, reference models, gates, selection, calibration, coverage and plots. Imports `pipeline.data`."""
