"""The query of `POST /predict`: what an answer holds beside the prediction."""

from typing import NamedTuple
from urllib.parse import parse_qsl

from serving.errors import FieldError, invalid_request, quote_name

MOST_FIELDS = 20


class PredictOptions(NamedTuple):
    """`explain` asks for what each feature adds to a prediction."""

    explain: bool = False


NO_OPTIONS = PredictOptions()


def parse_options(query: bytes) -> PredictOptions:
    """The options of a query string.

    Raises:
        Problem: 400 that lists everything that is no option.
    """
    if not query:
        return NO_OPTIONS
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise invalid_request(FieldError("?", f"at most {MOST_FIELDS} fields", "more")) from None
    names = [name for name, _ in pairs]
    errors = [
        FieldError(f"?{quote_name(name)}", "a known option: explain", "another")
        for name in dict.fromkeys(names)
        if name not in PredictOptions._fields
    ]
    errors += [
        FieldError(f"?{name}", "one value", "several") for name in PredictOptions._fields if names.count(name) > 1
    ]
    values = dict(pairs)
    if values.get("explain", "false") not in ("true", "false"):
        errors.append(FieldError("?explain", "true or false", "another value"))
    if errors:
        raise invalid_request(*errors)
    return PredictOptions(explain=values.get("explain") == "true")
