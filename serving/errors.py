"""The one error body of the service: RFC 9457 problem details, readable by other protocols' clients too."""

from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

SHOWN = 20  # problems in one answer; the number of all is in `detail`
CLOSE = {"Connection": "close"}  # for an answer that does not wait for the rest of the request


class Wrong(NamedTuple):
    """One thing that is wrong with a request, and where."""

    path: str
    expected: str
    received: str


class Problem(Exception):
    """A request that cannot be answered as it is.

    Args:
        detail: one sentence for a person.
        errors: everything that is wrong, in the order of the request.
    """

    def __init__(
        self, status: int, detail: str, errors: list[Wrong] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors or [], headers or {}


def problem_response(problem: Problem, path: str) -> Response:
    """`application/problem+json`, with `error` as Triton, KServe and TensorFlow Serving clients read it."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path[:200],
        "error": problem.detail,
        "errors": [wrong._asdict() for wrong in problem.errors[:SHOWN]],
    }
    return Response(orjson.dumps(body), problem.status, problem.headers, "application/problem+json")


def refuse(*errors: Wrong) -> Problem:
    """A 400 with every problem that was found."""
    first = errors[0]
    detail = f"{first.path}: expected {first.expected}, received {first.received}"
    if len(errors) > 1:
        detail = f"{len(errors)} problems, the first: {detail}"
    return Problem(400, detail, list(errors))


def kind(value: Any) -> str:
    """What a JSON value is, without repeating it."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")


def shown(name: str) -> str:
    """A name from a request, short enough to repeat."""
    return repr(name if len(name) <= 60 else name[:60] + "…").encode("utf-8", "replace").decode()
