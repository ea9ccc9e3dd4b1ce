"""The page in a browser where a person can try a prediction, and Swagger UI. Imports `serving.model`."""
