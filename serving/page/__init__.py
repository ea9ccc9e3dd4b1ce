"""The page on which a prediction can be tried. Imports `serving.model`."""
