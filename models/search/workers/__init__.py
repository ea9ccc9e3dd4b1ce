"""Processes that train: on this machine (`pool`, `process`), or on the workers of a Dask cluster (`cluster`,
`cluster_task`, `connection`, `cluster_code`). Both start jobs and yield `events`; neither knows studies or Optuna.
"""
