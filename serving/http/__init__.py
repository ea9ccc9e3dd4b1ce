"""The ASGI application: routes, limits, keys, bodies, connections, log. Imports all parts but `serving.service`."""
