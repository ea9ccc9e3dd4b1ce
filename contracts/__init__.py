"""What the other packages share: schema, encoding, network spec, metrics, bundle, settings, errors, files.

Imports none of the other packages, and no TensorFlow, MLflow, DVC or BentoML.
"""
