"""The stages of `dvc.yaml`, the commands of the Makefile, and the modules behind them.

The only package that knows MLflow, DVC and the order of the stages. Imports `models`, `serving` and `contracts`; each
part imports those before it: `paths`, `tables` and `resources`; `environment` and `sources`; `data_contract`; `data`;
`streaming`; `data_report`; `evaluation`; `tracking`; `search` and `model_report`; `dvc_cli` and `packaged_bento`;
`stages` and `commands`.
"""
