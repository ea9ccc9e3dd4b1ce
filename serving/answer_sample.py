"""`python -m serving.answer_sample`: the answer of the packaged service to its schema's sample, as JSON.

The package stage runs this in the Bento's folder, so that the files, settings and routes that are served are those that
are tried. It needs no port.
"""

import asyncio
import json
from typing import Any

import httpx

from contracts.schema import load_schema
from serving.service import BENTO, Prediction


async def main() -> None:
    schema = load_schema(BENTO / "bundle/schema.json")
    instance = schema.sample if schema.image is None else schema.sample[schema.image.name]
    service: Any = Prediction  # BentoML's decorator makes a service of the class
    transport = httpx.ASGITransport(service.to_asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.post(f"/v1/models/{schema.dataset}:predict", json={"instances": [instance]})
    print(json.dumps(answer.json()))


if __name__ == "__main__":
    asyncio.run(main())
