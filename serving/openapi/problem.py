"""The error body and its statuses."""

REASONS = {
    "400": "Every problem of the request",
    "401": "The service has keys, and none was sent",
    "403": "The key is not one of the service's",
    "405": "Another verb is expected",
    "408": "The body did not arrive in time",
    "413": "The body or the number of rows is past the limit",
    "415": "The content type, charset or encoding is not one that this route reads",
    "429": "Too many requests at once",
    "503": "The model is not ready",
    "504": "No answer in time",
}
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
