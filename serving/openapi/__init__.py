"""The OpenAPI description of the service, made from the schema. Imports `serving.protocols`."""
