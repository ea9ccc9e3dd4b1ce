"""python -m bench.attack.good_client PORT SECONDS: valid requests one after another, as a person's program sends them.

Prints `{"statuses": {...}, "p50_ms", "p99_ms"}`. A process of its own, so that attackers do not slow it down.
"""

import collections
import http.client
import json
import sys
import time

import numpy as np

from bench.attack.service_cases import GOOD_IMAGE, png


def main(port: int, seconds: float) -> None:
    statuses: collections.Counter[str] = collections.Counter()
    times: list[float] = []
    bodies = [("application/json", json.dumps({"instances": [GOOD_IMAGE]}).encode()), ("image/png", png())]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        media_type, body = bodies[len(times) % 2]
        started = time.perf_counter()
        try:
            connection.request("POST", "/predict", body, {"Content-Type": media_type})
            answer = connection.getresponse()
            answer.read()
            statuses[str(answer.status)] += 1
        except OSError as error:
            statuses[type(error).__name__] += 1
            connection.close()
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.01)
    p50, p99 = np.percentile(times, [50, 99]).tolist()
    print(json.dumps({"statuses": statuses, "p50_ms": p50, "p99_ms": p99}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
