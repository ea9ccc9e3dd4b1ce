"""Downloads, and readers of file formats: the work of `fetch`."""
