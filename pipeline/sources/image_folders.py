"""A folder of images by class, `<class>/<picture>.png`, as one table."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.errors import UserError
from contracts.files import md5
from contracts.schema import ImageFeature
from contracts.settings.source import Image
from pipeline.tables import IMAGE, TARGET, images_to_column
from serving.parsing.image_files import ImageError, decode_image

ENDINGS = (".png", ".jpg", ".jpeg")
MOST_SIDE = 32  # pixels a side; larger pictures are made smaller unless the settings name a size
SHOWN = 5  # files named in a message


def read_images(folder: Path, image: Image) -> tuple[pa.Table, str]:
    """The pictures of every class, decoded as the service decodes them: grey, with the size of `image`.

    Raises:
        UserError: with every file that is not a picture; if there are fewer than two classes.
    """
    feature = ImageFeature(name=IMAGE, height=image.height, width=image.width, maximum=image.maximum)
    pixels, labels, problems = [], [], []
    for path in pictures(folder):
        try:
            pixels.append(np.rint(decode_image(path.read_bytes(), feature)).astype(np.uint8))
            labels.append(path.parent.name)
        except ImageError as error:
            problems.append(f"{path.relative_to(folder)}: expected {error.expected}, received {error.received}")
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError("\n  ".join([f"{folder} has files that are not pictures:", *problems[:SHOWN], *more]))
    images = np.stack(pixels).reshape(-1, image.height, image.width)
    counts = ", ".join(f"{labels.count(name)} of {name}" for name in sorted(set(labels)))
    return pa.table({IMAGE: images_to_column(images), TARGET: pa.array(labels)}), f"pictures: {counts}"


def pictures(folder: Path) -> list[Path]:
    """The files of pictures, in the order of their names.

    Raises:
        UserError: if the folder does not have a folder for each of two or more classes.
    """
    found = sorted(path for path in folder.glob("[!.]*/[!.]*") if path.suffix.lower() in ENDINGS)
    classes = {path.parent.name for path in found}
    if len(classes) < 2:
        raise UserError(
            f"{folder}: expected a folder with PNG or JPEG pictures for each of two or more classes, received "
            f"{', '.join(sorted(classes)) or 'none'}"
        )
    return found


def is_image_folder(folder: Path) -> bool:
    """Whether a path leads to a folder without files, whose folders hold pictures."""
    return (
        os.path.isdir(folder)
        and not any(path.is_file() for path in folder.glob("[!.]*"))
        and any(path.suffix.lower() in ENDINGS for path in folder.glob("[!.]*/[!.]*"))
    )


def find_size(folder: Path) -> Image:
    """The size of the first picture, made smaller if it is too large for a network of dense layers."""
    from PIL import Image as Pillow

    first = pictures(folder)[0]
    try:
        picture = Pillow.open(first)
    except OSError:
        raise UserError(f"{first}: expected a whole PNG or JPEG picture, received something else") from None
    with picture:
        shrink = max(1.0, max(picture.size) / MOST_SIDE)
        width, height = (max(1, round(side / shrink)) for side in picture.size)
    return Image(height=height, width=width, maximum=255.0)


def folder_md5(folder: Path) -> str:
    """A hash of the names and contents of the pictures."""
    listed = "".join(f"{path.relative_to(folder)} {md5(path)}\n" for path in pictures(folder))
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()
