"""`python -m serving.answer_sample`: the answer of the packaged service to its schema's sample, as JSON.

The package stage runs this in the Bento's folder, so it tries the files, settings and routes that are served. It needs
no port.
"""

import asyncio
import sys
from typing import Any

import orjson

from contracts.schema import load_schema
from serving.service import BENTO, Prediction


async def main() -> None:
    schema = load_schema(BENTO / "bundle/schema.json")
    instance = schema.sample if schema.image is None else schema.sample[schema.image.name]
    body, sent = orjson.dumps({"instances": [instance]}), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    service: Any = Prediction  # BentoML's decorator has replaced the class by a service
    scope = {
        "type": "http", "method": "POST", "path": f"/v1/models/{schema.dataset}:predict", "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }  # fmt: skip
    await service.to_asgi()(scope, receive, send)
    sys.stdout.buffer.write(b"".join(sent))


if __name__ == "__main__":
    asyncio.run(main())
