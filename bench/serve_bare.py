"""A handler without checks, from Starlette, orjson and ONNX Runtime alone: the reference for our service.

python -m bench.serve_bare model.onnx PORT [feature …]     feature names where instances are objects
"""

import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

path, port, *names = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
input_name = session.get_inputs()[0].name
width = session.get_inputs()[0].shape[1]


async def predict(request: Request) -> Response:
    instances = orjson.loads(await request.body())["instances"]
    if names:
        instances = [[row[name] for name in names] for row in instances]
    rows = np.array(instances, dtype=np.float32).reshape(-1, width)
    (output,) = session.run(None, {input_name: rows})
    body = orjson.dumps({"predictions": output}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/livez", lambda _: Response())])
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)
