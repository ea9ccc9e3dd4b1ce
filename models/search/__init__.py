"""Training many networks: what is tried, in which processes, and which are the best. Imports `models.training`."""
