"""What all sections of a sweep file have in common: known keys only, of the right types."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

LARGEST = 1e150  # of a number that samplers calculate with: squares, and the widths of ranges, are still finite
SMALLEST = 1e-150

Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]  # 30 years: what systems can wait for
Gigabytes = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]  # a limit of memory is below 2**63 bytes
Natural = Annotated[int, Field(ge=0, le=2**53)]  # a float, in which steps and samples are counted, is exact up to here
Count = Annotated[int, Field(gt=0, le=2**53)]
Processes = Annotated[int, Field(gt=0, le=10_000)]
Workers = Annotated[int, Field(ge=0, le=10_000)]
Pause = Annotated[int, Field(ge=0, le=10**9)]  # seconds


def _title(section: type[Any]) -> str:
    """Return what an editor calls a section: `AshaKeys` are the keys of `Asha`."""
    return section.__name__.removesuffix("Keys")


class Section(BaseModel):
    """A mapping of known keys only; `"5"` is no number, and neither are `.nan` and `.inf`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, model_title_generator=_title
    )

    def plain(self) -> Any:
        """Return the section as plain JSON types, as the records have it: a mapping, or what else the file may say."""
        return self.model_dump()


def section_of(keys: type[Any], base: type[Section] = Section, name: str = "") -> type[Section]:
    """Return the section whose keys are a dataclass's fields, with their types and defaults, and those of `base`.

    name: of the section (default: the dataclass's).
    """
    hints = get_type_hints(keys, include_extras=True)
    fields: dict[str, Any] = {field.name: (hints[field.name], _default(field)) for field in dataclasses.fields(keys)}
    words = keys.__doc__ if base is Section else base.__doc__
    return create_model(name or keys.__name__, __base__=base, __doc__=words, **fields)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ... if field.default is dataclasses.MISSING else field.default
