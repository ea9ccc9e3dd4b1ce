"""From a bundle to predictions over HTTP or for a file.

Imports `contracts`; each part imports those before it: `errors`, `parsing`, `validation`, `model`, `protocols`,
`openapi` and `page`, `http`, `service`.
"""
