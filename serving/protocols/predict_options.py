"""The query of `POST /predict`: what an answer holds beside the prediction."""

from typing import NamedTuple
from urllib.parse import parse_qsl

from serving.errors import FieldError, invalid_request, quote_name

MOST_FIELDS = 20


class PredictOptions(NamedTuple):
    """What a request asks for beside predictions.

    `confidence` is the probability with which the truth is in the interval or set that is asked for; `explain` asks for
    what each feature adds.
    """

    confidence: float | None = None
    explain: bool = False


NO_OPTIONS = PredictOptions()


def parse_options(query: bytes) -> PredictOptions:
    """The options of a query string.

    Raises:
        Problem: 400 that lists every option that is unknown, repeated or has a value that cannot be right.
    """
    if not query:
        return NO_OPTIONS
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise invalid_request(FieldError("?", f"at most {MOST_FIELDS} fields", "more")) from None
    names, options, errors = [name for name, _ in pairs], dict(pairs), []
    known = ", ".join(PredictOptions._fields)
    for name in dict.fromkeys(names):
        if name not in PredictOptions._fields:
            errors.append(FieldError(f"?{quote_name(name)}", f"an option of {known}", "an unknown one"))
        elif names.count(name) > 1:
            errors.append(FieldError(f"?{name}", "one value", f"{names.count(name)} values"))
    confidence = _fraction(options["confidence"]) if "confidence" in options else None
    if names.count("confidence") == 1 and confidence is None:
        errors.append(FieldError("?confidence", "a number above 0 and below 1, as 0.9", "another value"))
    if options.get("explain", "false") not in ("true", "false"):
        errors.append(FieldError("?explain", "true or false", "another value"))
    if errors:
        raise invalid_request(*errors)
    return PredictOptions(confidence, options.get("explain") == "true")


def _fraction(text: str) -> float | None:
    """A number above 0 and below 1, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < 1 else None
