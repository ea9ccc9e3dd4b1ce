"""Runs and models in MLflow, the databases behind them, and the lineage of results."""
