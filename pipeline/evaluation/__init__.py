"""How good models are: baselines, references, intervals, selection, pictures. Imports `pipeline.data`."""
