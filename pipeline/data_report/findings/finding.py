"""A named warning about the data: its columns, what was found in them, and what to do."""

from dataclasses import dataclass

SHOWN = 3  # columns named in one line


@dataclass(frozen=True)
class Finding:
    """One kind of warning; `seen` has pairs of a column or class and the observation; either may be empty."""

    kind: str
    seen: tuple[tuple[str, str], ...]
    advice: str

    def __str__(self) -> str:
        named = [": ".join(filter(None, pair)) for pair in self.seen[:SHOWN]]
        more = len(self.seen) - len(named)
        return f"{self.kind}: {'; '.join(named)}" + (f"; and {more} more" if more else "")


def found(kind: str, seen: list[tuple[str, str]], advice: str) -> list[Finding]:
    """One finding, or none if nothing was seen."""
    return [Finding(kind, tuple(seen), advice)] if seen else []
