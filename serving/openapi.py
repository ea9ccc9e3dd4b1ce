"""The OpenAPI description of the service, made from the schema, and the page that shows it."""

from typing import Any

from pipeline.schema import CategoricalFeature, Feature, ImageFeature, Schema
from serving.bundle import Manifest

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "error", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "error": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "expected", "received"],
                "properties": {name: {"type": "string"} for name in ("path", "expected", "received")},
            },
        },
    },
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="static_content/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({{url: "openapi.json", dom_id: "#docs", tryItOutEnabled: true}})</script>
</body></html>"""


def docs_page(schema: Schema) -> str:
    """Swagger UI over `/openapi.json`, with the assets that BentoML serves: no outside address."""
    return PAGE.format(title=f"{schema.dataset} · predictions")


def describe(schema: Schema, manifest: Manifest) -> dict[str, Any]:
    """OpenAPI 3.1 for every route of ours, with the schema's sample as the example."""
    instance = _instance(schema)
    sample = schema.sample[schema.image.name] if schema.image else schema.sample
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{schema.dataset}: {schema.task}",
            "version": manifest.git_revision,
            "description": f"Predicts {schema.target.name}. Trial {manifest.trial} of study {manifest.study}.",
        },
        "paths": {
            "/predict": {
                "post": {
                    "summary": f"Predict {schema.target.name} for any number of instances",
                    "operationId": "predict",
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["instances"],
                                    "additionalProperties": False,
                                    "properties": {"instances": {"type": "array", "items": instance}},
                                },
                                "example": {"instances": [sample]},
                            }
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "A prediction for each instance, in the same order",
                            "content": {"application/json": {"schema": _answer(schema)}},
                        },
                        "400": {"description": "Every problem of the request", "content": problem},
                        "415": {"description": "The body is not declared as JSON", "content": problem},
                    },
                }
            },
            "/info": {
                "get": {
                    "summary": "The schema, and where the model comes from",
                    "operationId": "info",
                    "responses": {
                        "200": {
                            "description": "Schema and manifest of the bundle",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        }
                    },
                }
            },
        },
        "components": {"schemas": {"Problem": PROBLEM}},
    }


def _instance(schema: Schema) -> dict[str, Any]:
    if schema.image is not None:
        return _property(schema.image)
    return {
        "type": "object",
        "required": [feature.name for feature in schema.features],
        "additionalProperties": False,
        "properties": {feature.name: _property(feature) for feature in schema.features},
    }


def _property(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, ImageFeature):
        pixel = {"type": "number", "minimum": 0, "maximum": feature.maximum}
        row = {"type": "array", "minItems": feature.width, "maxItems": feature.width, "items": pixel}
        return {"type": "array", "minItems": feature.height, "maxItems": feature.height, "items": row}
    null = ["null"] if feature.missing else []
    if isinstance(feature, CategoricalFeature):
        known = ", ".join(feature.categories)
        return {"type": ["string", *null], "description": f"Known: {known}. Another one is taken as unknown."}
    return {
        "type": ["number", *null],
        "description": f"In training from {feature.minimum:g} to {feature.maximum:g}, median {feature.median:g}.",
    }


def _answer(schema: Schema) -> dict[str, Any]:
    prediction: dict[str, Any] = {"type": "object", "required": ["value"], "properties": {"value": {"type": "number"}}}
    if schema.classes:
        probabilities = {name: {"type": "number"} for name in schema.classes}
        prediction = {
            "type": "object",
            "required": ["label", "probability", "probabilities"],
            "properties": {
                "label": {"enum": list(schema.classes)},
                "probability": {"type": "number"},
                "probabilities": {"type": "object", "properties": probabilities},
            },
        }
    model = {"type": "object", "properties": {"name": {"type": "string"}, "version": {"type": "string"}}}
    return {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {"predictions": {"type": "array", "items": prediction}, "model": model},
    }
