"""The error body of the service: RFC 9457 problem details, with the field that clients of other protocols read."""

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

MAX_LISTED = 20  # errors or warnings listed in one response; `detail` has the number of all errors
CLOSE_CONNECTION = {"Connection": "close"}  # header of a response that does not wait for the rest of the request


class FieldError(NamedTuple):
    """One error in a request, and its place."""

    path: str
    expected: str
    received: str


class Problem(Exception):
    """A request that the service refuses.

    Args:
        detail: one sentence for a person.
        errors: all errors, in the order of the request.
    """

    def __init__(
        self, status: int, detail: str, errors: list[FieldError] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors or [], headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it, because a worker in another process raises it."""
        return Problem, (self.status, self.detail, self.errors, self.headers)


FAILURE = Problem(500, "the service failed; its log says more")


def invalid_request(*errors: FieldError) -> Problem:
    """A 400 that lists every error."""
    first = errors[0]
    detail = f"{first.path}: expected {first.expected}, received {first.received}"
    if len(errors) > 1:
        detail = f"{len(errors)} problems, the first: {detail}"
    return Problem(400, detail, list(errors))


def problem_response(problem: Problem, path: str) -> Response:
    """`application/problem+json`; Triton, KServe and TensorFlow Serving clients read its `error`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path[:200],
        "error": problem.detail,
        "errors": [error._asdict() for error in problem.errors[:MAX_LISTED]],
    }
    return Response(orjson.dumps(body), problem.status, problem.headers, "application/problem+json")


def json_type(value: Any) -> str:
    """The type of a JSON value, for a message that must not repeat the value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def quote_name(name: str) -> str:
    """A name from a request in quotes, cut to 60 characters."""
    return repr(name if len(name) <= 60 else name[:60] + "…").encode("utf-8", "replace").decode()
