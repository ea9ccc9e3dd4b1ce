"""The page at `/`, the model's report, and Swagger UI: static files, no build step, nothing loaded from other hosts."""

from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.errors import Problem
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


def page_routes(model: ServedModel, report: Path) -> list[Route]:
    """The page with its style and script, the API's documentation, and the report.

    Args:
        report: the file, which a Bento of an older version lacks.
    """
    contents = {
        "/": ((FILES / "page.html").read_bytes(), "text/html"),
        "/page.css": ((FILES / "page.css").read_bytes(), "text/css"),
        "/page.js": ((FILES / "page.js").read_bytes(), "text/javascript"),
        "/docs": (DOCS.format(title=f"{model.name} · predictions").encode(), "text/html"),
        "/docs.js": (DOCS_SCRIPT.encode(), "text/javascript"),
    }
    if not report.exists():
        return [Route("/report", _no_report), *_routes(contents)]
    # The style is a file of its own here, because a browser would not take it from within a page of this service.
    before, _, rest = report.read_text(encoding="utf-8").partition("<style>")
    style, _, after = rest.partition("</style>")
    contents["/report"] = (f'{before}<link rel="stylesheet" href="report.css">{after}'.encode(), "text/html")
    contents["/report.css"] = (style.encode(), "text/css")
    return _routes(contents)


def _routes(contents: Mapping[str, tuple[bytes, str]]) -> list[Route]:
    return [Route(path, _static(*content)) for path, content in contents.items()]


async def _no_report(request: Request) -> Response:
    raise Problem(404, "this Bento was packaged without a report: package the model again, with `make repro`")


def _static(content: bytes, media_type: str) -> Callable:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint
