"""Hostile requests for a model of images of 8×8, by class, each with the statuses that it may get."""

import base64
import gzip
import io
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

GOOD_IMAGE = [[row * column % 17 for column in range(8)] for row in range(8)]
GOOD = json.dumps({"instances": [GOOD_IMAGE]}).encode()
ROUTES = ("/predict", "/v1/models/tiles:predict", "/v2/models/tiles/infer", "/invocations")
OK, BAD, LARGE, TYPE = (200,), (400,), (413,), (415,)


class Case(NamedTuple):
    """A request, and the statuses that it may get."""

    name: str
    path: str
    headers: dict[str, str]
    body: bytes
    statuses: tuple[int, ...]


def png(size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    return _picture("PNG", size, mode)


def _picture(kind: str, size: tuple[int, int], mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def media_types() -> Iterator[Case]:
    names = {"application/json": OK, "APPLICATION/JSON": OK, "Application/Json": OK, "text/plain": TYPE, "json": TYPE}
    parameters = {
        "": 200, ";charset=utf-8": 200, " ; charset=UTF-8": 200, '; x=1; charset="utf-8"': 200,
        "; charset=latin-1": 415, ";x=1;CHARSET=utf-16": 415,
    }  # fmt: skip
    for route, (name, statuses), (parameter, status) in itertools.product(ROUTES, names.items(), parameters.items()):
        # The Open Inference Protocol has another document: the type is accepted, the content is not.
        expected = TYPE if statuses == TYPE or status == 415 else BAD if route.endswith("infer") else OK
        yield Case(name + parameter, route, {"Content-Type": name + parameter}, GOOD, expected)


def nested() -> Iterator[Case]:
    lists = ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b'{"a":"b","c":', b"}"))
    for route, (opening, closing), depth in itertools.product(ROUTES, lists, (101, 490, 700, 1020, 1100, 100_000)):
        body = b'{"instances": %b1%b}' % (opening * depth, closing * depth)
        statuses = (400, 413) if len(body) > 100_000 else BAD  # more lists than a request within the limits needs
        yield Case(f"{opening!r} {depth} deep", route, {"Content-Type": "application/json"}, body, statuses)


def forms() -> Iterator[Case]:
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    whole = part + png() + b"\r\n" + part + png() + b"\r\n--b--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    yield Case("a whole form", "/predict", form, whole, OK)
    for cut in range(0, len(whole) - 4, 7):
        yield Case(f"cut after {cut} bytes", "/predict", form, whole[:cut], BAD)
    for boundary in ("", "; boundary=", "; boundary=other", "; boundary=" + "x" * 5000):
        yield Case("another boundary", "/predict", {"Content-Type": "multipart/form-data" + boundary}, whole, BAD)
    yield Case("thousands of empty files", "/predict", form, (part + b"\r\n") * 20_000 + b"--b--", (400, 413))


def pictures(sides: tuple[int, ...] = (8, 500, 4096)) -> Iterator[Case]:
    def post(name: str, kind: str, content: bytes, *statuses: int) -> Iterator[Case]:
        yield Case(name, "/predict", {"Content-Type": f"image/{kind}"}, content, statuses)
        document = json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}]}).encode()
        yield Case(f"{name}, in JSON", "/predict", {"Content-Type": "application/json"}, document, statuses)

    for mode, side in itertools.product(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), sides):
        yield from post(f"PNG {mode} {side}", "png", png((side, side), mode), 200)
    for mode, side in itertools.product(("L", "RGB", "CMYK"), sides):
        yield from post(f"JPEG {mode} {side}", "jpeg", _picture("JPEG", (side, side), mode, progressive=True), 200)
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        yield from post(kind, "png", _picture(kind, (16, 16), "RGB"), 400)
    for side in (4097, 20_000, 65_535, 2**31 - 1):
        yield from post(f"a PNG that says {side}", "png", _resized_head(side), 400)
    for n_scans in (101, 1000, 30_000):
        yield from post(f"{n_scans} scans", "jpeg", scans(n_scans), 400)
    for cut in range(0, len(png((64, 64))) - 13, 12):
        yield from post(f"PNG cut after {cut} bytes", "png", png((64, 64))[:cut], 400)
    many = {"instances": [{"b64": base64.b64encode(png((4096, 4096))).decode()}] * 40}
    yield Case("40 large PNG", "/predict", {"Content-Type": "application/json"}, json.dumps(many).encode(), LARGE)


def _resized_head(side: int) -> bytes:
    content = bytearray(png())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def scans(n_scans: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A JPEG that repeats its last scan `n_scans` times."""
    content = _picture("JPEG", size, "L", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * n_scans + content[-2:]


def compressed(megabytes: tuple[int, ...] = (17, 64, 256)) -> Iterator[Case]:
    for size in megabytes:
        body = gzip.compress(b" " * size * 2**20, 1)
        head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        yield from (Case(f"{size} MB of blanks", route, head, body, LARGE) for route in ROUTES)
    for route, encoding in itertools.product(ROUTES, ("br", "gzip, gzip", "zstd", "x")):
        head = {"Content-Type": "application/json", "Content-Encoding": encoding}
        yield Case(f"encoding {encoding}", route, head, GOOD, TYPE)


def large() -> Iterator[Case]:
    head = {"Content-Type": "application/json"}
    for route in ROUTES:
        yield Case("millions of lists", route, head, b'{"instances": [%b[]]}' % (b"[]," * 2**20), LARGE)
        yield Case("a long string", route, head, b'{"instances": ["%b"]}' % (b"x" * 2**23), BAD)
        yield Case("a long number", route, head, b'{"instances": [%b]}' % (b"9" * 10**5), BAD)
        names = b",".join(b'"%d":1' % number for number in range(10**4))
        yield Case("ten thousand names", route, head, b'{"instances": [{%b}]}' % names, BAD)


CLASSES: dict[str, Callable[[], Iterator[Case]]] = {
    "media types": media_types, "nested JSON": nested, "multipart forms": forms, "pictures": pictures,
    "compressed bodies": compressed, "large JSON": large,
}  # fmt: skip
