"""The error body, and the statuses that have it."""

from typing import Any

REASONS = {
    400: "The content is invalid; `errors` lists every error",
    401: "The service has keys, and the request has none",
    403: "The key is not one of the service's",
    405: "The method is not allowed",
    408: "The body did not arrive in time",
    413: "The body or the number of rows is over the limit",
    415: "The route does not read this content type, charset or encoding",
    429: "Too many requests at once",
    503: "The model is not ready",
    504: "No answer in time",
}
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}
TEXTS = ("type", "title", "detail", "instance", "error")
PROBLEM = {
    "type": "object",
    "required": [*TEXTS, "status", "errors"],
    "properties": {
        **{name: {"type": "string"} for name in TEXTS},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "expected", "received"],
                "properties": {name: {"type": "string"} for name in ("path", "expected", "received")},
            },
        },
    },
}


def problem_responses(*statuses: int) -> dict[str, Any]:
    """The OpenAPI responses of these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": REASONS[status],
            "headers": {HEADERS[status]: {"schema": {"type": "string"}}} if status in HEADERS else {},
            "content": content,
        }
        for status in statuses
    }
