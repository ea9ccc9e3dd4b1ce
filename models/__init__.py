"""Keras networks: what one is, how it is built, trained, searched and exported."""
