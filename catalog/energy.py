"""The energy of a computation and its emissions, estimated from its duration, with the assumptions in words.

Energy is the power of the machine times the duration times the overhead of its building (PUE); emissions are energy
times the carbon intensity of the grid. Nothing is measured: `[energy]` in watershed.toml states the machine and grid.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalog.settings import EnergySettings


@dataclass(frozen=True, kw_only=True)
class Energy:
    """An estimate of energy, in kWh, and of emissions, in kg of CO2e, and what it rests on."""

    kwh: float
    kg_co2e: float
    assumptions: str

    @property
    def energy_words(self) -> str:
        """The energy with its unit, in three digits."""
        return f"{self.kwh:,.0f} kWh" if self.kwh >= 1000 else f"{self.kwh:.3g} kWh"

    @property
    def emission_words(self) -> str:
        """The emissions with their unit, in three digits."""
        if self.kg_co2e >= 1000:
            return f"{self.kg_co2e:,.0f} kg CO2e"
        return f"{self.kg_co2e:.3g} kg CO2e" if self.kg_co2e >= 1 else f"{1000 * self.kg_co2e:.3g} g CO2e"


def energy_of(settings: EnergySettings, seconds: float, machines: float = 1, watts: float | None = None) -> Energy:
    """The energy of `machines` that work for `seconds`.

    Args:
        settings: `[energy]` of watershed.toml.
        seconds: duration, in seconds.
        machines: machines, or accelerators if `watts` is the power of one.
        watts: power of one of them; by default that of the settings.

    Example:
        >>> from catalog import load_settings
        >>> from catalog.energy import energy_of
        >>> energy_of(load_settings().energy, 3600, machines=8, watts=700).energy_words
        '6.16 kWh'
    """
    power = settings.watts if watts is None else watts
    kwh = power * machines * seconds / 3.6e6 * settings.pue
    return Energy(
        kwh=kwh,
        kg_co2e=kwh * settings.grams_per_kwh / 1000,
        assumptions=f"Estimated, not measured: {seconds:,.0f} s x {machines:g} x {power:g} W x {settings.pue:g} (PUE), "
        f"at {settings.grams_per_kwh:g} g CO2e a kWh, as [energy] in watershed.toml says. Making the hardware is "
        "not included.",
    )
