"""Codes and where they come from: LOINC beside MDC (IEEE 11073-10101), units by UCUM.

The codes are those of HL7's Personal Health Device guide (R4; its examples of blood pressure, glucose, measurement status),
of R4's vital signs profiles, and of US Core for glucose. Which code a glucose gets is decided by the quantity that the meter
sent, mass or moles, and not by what it was converted to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Resource = dict[str, Any]

LOINC: Final = "http://loinc.org"
MDC: Final = "urn:iso:std:iso:11073:10101"
UCUM: Final = "http://unitsofmeasure.org"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
YES_NO: Final = "http://terminology.hl7.org/CodeSystem/v2-0136"
PHD: Final = "http://hl7.org/fhir/uv/phd/StructureDefinition"
PHD_BITS: Final = "http://hl7.org/fhir/uv/phd/CodeSystem/ASN1ToHL7"
PHD_CATEGORY: Final = "http://hl7.org/fhir/uv/phd/CodeSystem/PhdObservationCategories"
PHD_IDENTIFIERS: Final = "http://hl7.org/fhir/uv/phd/CodeSystem/ContinuaDeviceIdentifiers"
CORE: Final = "http://hl7.org/fhir/StructureDefinition"
GATEWAY: Final = f"{CORE}/observation-gatewayDevice"
CLOCK: Final = f"{PHD}/CoincidentTimeStampReference"
BLUETOOTH: Final = "http://hl7.org/fhir/sid/eui-48/bluetooth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What is measured: its LOINC code, its MDC code where there is one, and its name."""

    loinc: str | None
    mdc: tuple[str, str] | None
    text: str

    def concept(self) -> Resource:
        coding = [{"system": LOINC, "code": self.loinc}] if self.loinc else []
        if self.mdc:
            coding.append({"system": MDC, "code": self.mdc[0], "display": self.mdc[1]})
        return {"coding": coding, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as people write it, and by UCUM."""

    text: str
    ucum: str

    def quantity(self, value: float) -> Resource:
        """Without a `.0` that nobody measured."""
        number = int(value) if value == int(value) else value
        return {"value": number, "unit": self.text, "system": UCUM, "code": self.ucum}


PRESSURE: Final = Code(loinc="85354-9", mdc=("150020", "MDC_PRESS_BLD_NONINV"), text="Blood pressure")
SYSTOLIC: Final = Code(loinc="8480-6", mdc=("150021", "MDC_PRESS_BLD_NONINV_SYS"), text="Systolic blood pressure")
DIASTOLIC: Final = Code(loinc="8462-4", mdc=("150022", "MDC_PRESS_BLD_NONINV_DIA"), text="Diastolic blood pressure")
MEAN: Final = Code(loinc="8478-0", mdc=("150023", "MDC_PRESS_BLD_NONINV_MEAN"), text="Mean blood pressure")
PULSE: Final = Code(loinc="8867-4", mdc=("149546", "MDC_PULS_RATE_NON_INV"), text="Pulse rate")
HEART_RATE: Final = Code(loinc="8867-4", mdc=("147842", "MDC_ECG_HEART_RATE"), text="Heart rate")
WEIGHT: Final = Code(loinc="29463-7", mdc=("188736", "MDC_MASS_BODY_ACTUAL"), text="Body weight")
SATURATION: Final = Code(
    loinc="59408-5", mdc=("150456", "MDC_PULS_OXIM_SAT_O2"), text="Oxygen saturation by pulse oximetry"
)
TEMPERATURE: Final = Code(loinc="8310-5", mdc=("150364", "MDC_TEMP_BODY"), text="Body temperature")
CAPILLARY_MASS: Final = Code(
    loinc="41653-7",
    mdc=("160184", "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD"),
    text="Glucose in capillary blood, glucometer, mass",
)
CAPILLARY_MOLES: Final = Code(
    loinc="14743-9",
    mdc=("160184", "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD"),
    text="Glucose in capillary blood, glucometer, moles",
)
INTERSTITIAL_MASS: Final = Code(
    loinc="99504-3", mdc=("160212", "MDC_CONC_GLU_ISF"), text="Glucose in interstitial fluid, mass"
)
INTERSTITIAL_MOLES: Final = Code(
    loinc="105272-9", mdc=("160212", "MDC_CONC_GLU_ISF"), text="Glucose in interstitial fluid, moles"
)
MEASUREMENT_STATUS: Final = Code(
    loinc=None, mdc=("8410608", "MDC_BLOOD_PRESSURE_MEASUREMENT_STATUS"), text="Blood pressure measurement status"
)
MEAL: Final = Code(loinc=None, mdc=("8417864", "MDC_CTXT_GLU_MEAL"), text="Meal context")
ABSOLUTE_TIME: Final = Code(loinc=None, mdc=("67975", "MDC_ATTR_TIME_ABS"), text="Absolute time of the meter's clock")
SATURATION_ALSO: Final = "2708-6"
"""R4's own profile of oxygen saturation asks for this one as well."""

MMHG: Final = Unit(text="mmHg", ucum="mm[Hg]")
PER_MINUTE: Final = Unit(text="/min", ucum="/min")
KG: Final = Unit(text="kg", ucum="kg")
PERCENT: Final = Unit(text="%", ucum="%")
CELSIUS: Final = Unit(text="°C", ucum="Cel")
MG_DL: Final = Unit(text="mg/dL", ucum="mg/dL")
MMOL_L: Final = Unit(text="mmol/L", ucum="mmol/L")

STATUS_BITS: Final[tuple[tuple[int, str], ...]] = (
    (0, "body-movement"),
    (1, "cuff-too-loose"),
    (2, "irregular-pulse"),
    (5, "improper-body-position"),
)
"""Bits of the Measurement Status that say something is wrong, by the names of IEEE 11073-10407; the two between are a range."""

MEALS: Final[Mapping[str, tuple[str, str]]] = {
    "preprandial": ("8417868", "MDC_CTXT_GLU_MEAL_PREPRANDIAL"),
    "postprandial": ("8417872", "MDC_CTXT_GLU_MEAL_POSTPRANDIAL"),
    "fasting": ("8417876", "MDC_CTXT_GLU_MEAL_FASTING"),
    "casual": ("8417880", "MDC_CTXT_GLU_MEAL_CASUAL"),
    "bedtime": ("8417908", "MDC_CTXT_GLU_MEAL_BEDTIME"),
}


def coded(system: str, code: str, text: str = "") -> Resource:
    """A concept of one coding."""
    concept: Resource = {"coding": [{"system": system, "code": code}]}
    return {**concept, "text": text} if text else concept


def reference(kind: str, resource_id: object) -> Resource:
    return {"reference": f"{kind}/{resource_id}"}
