"""Work ahead: the next item is made while the present one is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in order. A thread makes only the next item while the present one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(lambda: next(items, None))
        while (item := coming.result()) is not None:
            coming = thread.submit(lambda: next(items, None))
            yield item
