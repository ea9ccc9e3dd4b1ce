"""The page at `/`, and Swagger UI at `/docs`: static files, no build step, nothing loaded from other hosts."""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.model import ServedModel

FILES = Path(__file__).parent / "files"
DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script src="docs.js"></script>
</body></html>"""
DOCS_SCRIPT = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", tryItOutEnabled: true})'


def page_routes(model: ServedModel) -> list[Route]:
    """The page with its style and script, and the API's documentation."""
    contents = {
        "/": ((FILES / "page.html").read_bytes(), "text/html"),
        "/page.css": ((FILES / "page.css").read_bytes(), "text/css"),
        "/page.js": ((FILES / "page.js").read_bytes(), "text/javascript"),
        "/docs": (DOCS.format(title=f"{model.name} · predictions").encode(), "text/html"),
        "/docs.js": (DOCS_SCRIPT.encode(), "text/javascript"),
    }
    return [Route(path, _static(*content)) for path, content in contents.items()]


def _static(content: bytes, media_type: str) -> Callable:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint
