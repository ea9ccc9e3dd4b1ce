"""train: search, with every trial tracked, and export the best as candidate bundles."""

import contextlib

from models.pool import Pool
from pipeline import storage
from pipeline.params import Params
from pipeline.paths import Paths


def run(params: Params, paths: Paths) -> None:
    """Write `candidates/<rank>/`, best first, `trials.csv`, and the study's pictures."""
    with contextlib.ExitStack() as stack:
        cluster = None
        if params.search.scheduler is not None:  # first, so that nothing is begun where it does not answer
            from models.cluster import Cluster

            cluster = stack.enter_context(Cluster(params.search.scheduler))
        pool = stack.enter_context(Pool(ahead=cluster is None))
        # Imported only now, while the pool's own process imports TensorFlow: each takes many seconds.
        from pipeline.training import search_and_export

        stack.enter_context(storage.failures_explained())
        search_and_export(params, paths, pool, cluster)
