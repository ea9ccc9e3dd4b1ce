"""`python -m serving.predict_sample FOLDER`: a bundle's prediction for its schema's sample, as JSON.

The package stage runs this with the code that it packs into the Bento. The service repeats the prediction when it
starts and is ready only if both agree.
"""

import json
import sys
from pathlib import Path

from contracts.bundle import BundleDamaged
from contracts.encoding import answer, encode
from serving.predictor import Predictor


def main(folder: Path) -> None:
    try:
        predictor = Predictor(folder)
    except BundleDamaged as error:
        sys.exit(str(error))
    rows = encode(predictor.schema, {name: [value] for name, value in predictor.schema.sample.items()})
    print(json.dumps(answer(predictor.schema, predictor.outputs(rows)).reshape(-1).tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
