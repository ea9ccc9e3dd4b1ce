"""From parsed values to encoded rows, with all errors of a request at once. Imports `serving.parsing`."""
