"""The page at `/`, and Swagger UI at `/docs`: files as they are, no build step, no outside address."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.model import Model

FOLDER = Path(__file__).parent / "files"
DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script src="docs.js"></script>
</body></html>"""
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", tryItOutEnabled: true})'


def page_routes(model: Model) -> list[Route]:
    """The page with its style and script, and the documentation."""
    contents = {
        "/": ((FOLDER / "page.html").read_bytes(), "text/html"),
        "/page.css": ((FOLDER / "page.css").read_bytes(), "text/css"),
        "/page.js": ((FOLDER / "page.js").read_bytes(), "text/javascript"),
        "/docs": (DOCS.format(title=f"{model.name} · predictions").encode(), "text/html"),
        "/docs.js": (START.encode(), "text/javascript"),
    }
    return [Route(path, _file(*content)) for path, content in contents.items()]


def _file(content: bytes, media_type: str):  # type: ignore[no-untyped-def]
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint
