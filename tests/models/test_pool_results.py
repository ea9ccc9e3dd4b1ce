"""Several jobs of a pool at a time, and their results in order."""

import pytest

from models.search.workers.pool import JobFailed, Pool
from tests.models.test_pool import JOBS


def test_jobs_run_side_by_side_and_their_results_come_in_order() -> None:
    with Pool(JOBS, workers=2) as pool:
        spans = pool.results("span", [(0.6,), (0.2,), (0.1,)])
        starts, ends = zip(*spans, strict=True)
        assert [end - start >= seconds for (start, end), seconds in zip(spans, (0.6, 0.2, 0.1), strict=True)] == [
            True
        ] * 3
        assert starts[1] < ends[0], "the second does not wait for the first"
        assert starts[2] > min(ends[:2]), "the third waits for room"
        with pytest.raises(JobFailed, match="no room"):
            pool.results("fail", [("no room",)])
