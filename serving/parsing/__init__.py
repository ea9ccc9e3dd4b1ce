"""From bytes to values: JSON, arrays of numbers in JSON, image files. Imports `serving.errors`."""
