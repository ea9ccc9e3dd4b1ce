"""The OpenAPI description of the service, made from the schema: true for every route, with examples that work."""
