"""From bytes to values: JSON, long arrays of numbers, pictures. Imports `serving.errors`."""
