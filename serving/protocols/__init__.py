"""One module per protocol, from the bytes of a request to the bytes of its response. Imports `serving.model`."""
