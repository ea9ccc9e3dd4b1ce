"""Training one network, and writing it in the formats that others read. Imports `models.network`."""
