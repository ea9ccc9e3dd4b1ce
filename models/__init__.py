"""Keras networks: built (`network`), trained (`training`), searched for (`search`), each part on those before it.

Imports `contracts`. The only package that imports TensorFlow.
"""
