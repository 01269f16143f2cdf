"""What all sections of a sweep file have in common: known keys only, of the right types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Natural = Annotated[int, Field(ge=0)]


def _title(section: type[Any]) -> str:
    """Return what an editor calls a section: `AshaKeys` are the keys of `Asha`."""
    return section.__name__.removesuffix("Keys")


class Section(BaseModel):
    """A mapping of known keys only; `"5"` is no number, and neither are `.nan` and `.inf`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, model_title_generator=_title
    )

    def plain(self) -> dict[str, Any]:
        """Return the section as plain JSON types, as the records have it."""
        return self.model_dump()
