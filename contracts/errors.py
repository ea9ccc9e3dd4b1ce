"""The one exception that is shown without a stack trace."""


class UserError(Exception):
    """A mistake that the user can mend: the message says what was expected, what came, what to do."""
