"""The settings of `params.yaml`, typed and frozen, and how they are read and checked.

Imports only the rest of `contracts`.
"""
