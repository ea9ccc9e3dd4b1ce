"""`python -m serving.sample FOLDER`: what a bundle predicts for its schema's sample, as JSON.

Run when the Bento is packaged, from the code that travels in it; the service must give the same at start.
"""

import json
import sys
from pathlib import Path

from contracts.encoding import encode
from serving.predictor import Predictor


def main(folder: Path) -> None:
    predictor = Predictor(folder)
    rows = encode(predictor.schema, {name: [value] for name, value in predictor.schema.sample.items()})
    print(json.dumps(predictor.predict(rows).reshape(-1).tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
