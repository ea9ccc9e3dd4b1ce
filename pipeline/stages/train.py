"""train: search, with every trial tracked, and export the best as candidate bundles."""

from models.pool import Pool
from pipeline.params import Params
from pipeline.paths import Paths


def run(params: Params, paths: Paths) -> None:
    """Write `candidates/<rank>/`, best first, `trials.csv`, and the study's pictures."""
    with Pool() as pool:
        # Imported only now, while the pool's own process imports TensorFlow: each takes many seconds.
        from pipeline.training import search_and_export

        search_and_export(params, paths, pool)
