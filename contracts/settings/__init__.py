"""The settings of `params.yaml`, `spaces.yaml` and `catalog/`, typed and frozen, and how they are read and checked.

Imports only the rest of `contracts`.
"""
