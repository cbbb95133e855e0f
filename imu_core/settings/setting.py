"""One setting: what may be given for it, and the sentence for what may not. pydantic does the checking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StringConstraints, TypeAdapter, ValidationError

from imu_core.errors import ConfigError, told
from imu_core.numeric import as_number


@dataclass(frozen=True)
class Setting:
    """A setting by name, with everything that a check, a widget, a command's option or the glossary says of it.

    A number lies between `low` and `high`, both ends included unless `above` or `below` excludes one. With `choices` the value
    is one of them. A default of True or False makes it a switch. With a `pattern` it is a text that matches, which `described`
    says in words. `whole` numbers are Python ints. Besides, `optional` settings may be None, and each of `words` may stand in
    place of a number.
    `logarithmic` settings are searched and drawn on a logarithmic scale. `step` and `form` (as in printf) are those of a widget,
    `offered` the values that it lists, `empty` what it shows for None.
    """

    name: str
    label: str
    default: Any
    help: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()
    whole: bool = False
    logarithmic: bool = False
    _: KW_ONLY
    above: bool = False
    below: bool = False
    optional: bool = False
    pattern: str | None = None
    described: str = ""
    words: tuple[str, ...] = ()
    step: float | None = None
    form: str | None = None
    offered: tuple[Any, ...] = ()
    empty: str = "none"

    @property
    def switch(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.default, bool)

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        """What pydantic checks a value against."""
        if self.switch:
            kind: Any = Annotated[bool, Strict()]
        elif self.choices:
            kind = Literal[self.choices]
        elif self.pattern is not None:
            kind = Annotated[str, StringConstraints(strict=True, pattern=self.pattern)]
        else:
            low = {"gt" if self.above else "ge": self.low}
            high = {"lt" if self.below else "le": self.high}
            high = {} if self.high == math.inf else high
            finite = {} if self.whole else {"allow_inf_nan": False}
            kind = Annotated[int if self.whole else float, Strict(), Field(**low, **high, **finite)]
        for other in (*((None,) if self.optional else ()), *((Literal[self.words],) if self.words else ())):
            kind = kind | other
        return TypeAdapter(kind)

    def check(self, value: Any, name: str = "") -> Any:
        """`value` as Python's own number, switch or word; ConfigError says what is allowed, and calls the setting `name`."""
        try:
            return self._type.validate_python(as_number(value))
        except ValidationError:
            must = "allowed are" if self.choices else "it must be"
            raise ConfigError(f"{name or self.name} is {told(value)}; {must} {self.allowed}.") from None

    @property
    def allowed(self) -> str:
        """What is allowed, as sentences say it: "a whole number from 0 to 500", "a number from 0 to 1, or None"."""
        others = (*map(str, self.words), *(("None",) if self.optional else ()))
        if self.switch or self.pattern is not None:
            return self.described or "true or false"
        listed = self.choices or (between(self.low, self.high, self.whole, self.above, self.below),)
        return ", ".join(map(str, listed)) + (f", or {' or '.join(others)}" if others else "")

    @property
    def ends(self) -> tuple[Any, Any]:
        """The smallest and the largest number that is allowed; for an excluded end the nearest number inside."""
        kind = int if self.whole and self.high < math.inf else float
        low = math.nextafter(self.low, math.inf) if self.above else self.low
        return kind(low), kind(math.nextafter(self.high, -math.inf) if self.below else self.high)


def between(low: float, high: float, whole: bool = False, above: bool = False, below: bool = False) -> str:
    """Which numbers are allowed, in words: "a whole number from 0 to 500", "a number above 0 and at most 1"."""
    kind, start, end = "a whole number" if whole else "a number", f"{low:,.10g}", f"{high:,.10g}"
    if high == math.inf:
        return f"{kind} {'above' if above else 'from'} {start}"
    if not above and not below:
        return f"{kind} from {start} to {end}"
    return f"{kind} {'above' if above else 'from'} {start} and {'below' if below else 'at most'} {end}"


def table(*settings: Setting) -> Mapping[str, Setting]:
    """`settings` by name, in order."""
    return {setting.name: setting for setting in settings}
