"""The OpenAPI description of the service, made from the schema and the routes. Imports `serving.protocols`."""
