"""Searches: which configurations are tried, where they are trained, and which are best. Imports `models.training`."""
