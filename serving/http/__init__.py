"""The ASGI application, in the order of a request: `connections` (head limits), `middleware` with `keys` (who may ask,
how many at once) and `access_log`, `endpoint` with `body` (size, encoding, time) and `bulk` (a process for large
requests); `app` puts them together.

Imports every other part but `serving.service`.
"""
