"""The options of `POST /predict` in its query."""

from typing import NamedTuple
from urllib.parse import parse_qsl

from serving.errors import FieldError, invalid_request, quote_name

MOST_FIELDS = 20


class PredictOptions(NamedTuple):
    """What a request asks for in addition to predictions.

    `confidence` is the probability with which the interval or set contains the truth; with `group`, a category, this
    holds among the rows with the same value of the category. `explain` asks for the contribution of each feature.
    """

    confidence: float | None = None
    group: str | None = None
    explain: bool = False


def may_take_long(query: bytes) -> bool:
    """Whether the answer may take longer than a prediction, without a check of the options."""
    return b"explain" in query or b"%" in query


def parse_options(query: bytes) -> PredictOptions:
    """Raises `Problem` with every option that is unknown, repeated or has a value that cannot be right."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise invalid_request(FieldError("query", f"at most {MOST_FIELDS} options", "more")) from None
    names, errors = [name for name, _ in pairs], []
    for name in dict.fromkeys(names):
        known = ", ".join(PredictOptions._fields)
        if name not in PredictOptions._fields:
            errors.append(FieldError(f"query {quote_name(name)}", f"an option of {known}", "an unknown one"))
        elif names.count(name) > 1:
            errors.append(FieldError(f"query {name}", "one value", f"{names.count(name)} values"))
    options = dict(pairs)
    confidence = _number(options["confidence"]) if "confidence" in options else None
    if "confidence" in options and names.count("confidence") == 1 and confidence is None:
        errors.append(FieldError("query confidence", "a number above 0 and below 1, as 0.9", "something else"))
    if "group" in options and "confidence" not in options:
        errors.append(FieldError("query group", "a confidence beside it", "none"))
    if names.count("explain") == 1 and options["explain"] not in ("true", "false"):
        errors.append(FieldError("query explain", "true or false", "something else"))
    if errors:
        raise invalid_request(*errors)
    return PredictOptions(confidence, options.get("group"), options.get("explain") == "true")


def _number(text: str) -> float | None:
    """A number above 0 and below 1, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < 1 and "_" not in text else None  # Python allows underscores between digits
