"""One module a protocol: from the bytes of a request to the bytes of its answer. Imports `serving.validation`."""
