"""Baselines, reference models, selection and plots. Imports `pipeline.data`."""
