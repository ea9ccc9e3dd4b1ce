"""Downloads, and readers of their formats: the work of `fetch`."""
