"""The stages of `dvc.yaml` and the commands of the Makefile, and what they are made of.

The only package that knows MLflow, DVC and the order of things. Imports `models`, `serving` and `contracts`; each part
imports those before it: `paths`, `sources`, `data`, `evaluation`, `tracking`, `search`, `dvc_cli`, `stages` and
`commands`.
"""
