"""Runs and models in MLflow, the databases behind them, and where a result comes from."""
