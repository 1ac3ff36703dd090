"""What stands in a research export, column by column: the files' schema and their dictionary are made of this."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["text", "texts", "whole", "number", "wall_clock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its unit where it has one, what it says in two languages, and where it comes from."""

    name: str
    kind: Kind
    unit: str = ""
    en: str
    zh: str
    source: str


_PATIENT: Final = Column(
    name="patient",
    kind="text",
    en="The patient's name in this project",
    zh="患者在本项目中的代号",
    source="HMAC-SHA-256 with the project's key",
)


def _value(name: str, unit: str, en: str, zh: str, source: str = "the meter") -> Column:
    return Column(name=name, kind="number", unit=unit, en=en, zh=zh, source=source)


def _clock(name: str, en: str, zh: str, source: str) -> Column:
    return Column(name=name, kind="wall_clock", unit="wall clock, other date", en=en, zh=zh, source=source)


def _word(name: str, en: str, zh: str, source: str) -> Column:
    return Column(name=name, kind="text", en=en, zh=zh, source=source)


PATIENTS: Final = (
    _PATIENT,
    _word("sex", "female, male; empty: not known or not told", "female 女，male 男；空：未知或不公开", "enrolment"),
    Column(
        name="age_band",
        kind="text",
        unit="years",
        en="Age at enrolment in bands of five years, from 85 on one; empty: not known or not told",
        zh="入组时年龄，每五岁一组，85 岁及以上为一组；空：未知或不公开",
        source="enrolment",
    ),
    _word(
        "zone",
        "Time zone in which the patient lives; empty: not told",
        "患者居住地的时区；空：不公开",
        "enrolment, or a later move",
    ),
    Column(
        name="conditions",
        kind="texts",
        unit="ICD-10 category",
        en="Those that enough patients of the export have",
        zh="ICD-10 类目（仅列出本次导出中人数足够多的）",
        source="enrolment",
    ),
    Column(name="readings", kind="whole", en="How many rows in readings", zh="测量次数", source="counted"),
    Column(name="alerts", kind="whole", en="How many rows in alerts", zh="警报次数", source="counted"),
)

READINGS: Final = (
    _PATIENT,
    Column(name="n", kind="whole", en="1, 2, 3 … in order of time", zh="按时间顺序的编号", source="counted"),
    _word(
        "kind",
        "blood_pressure, glucose, sensor_glucose, weight, oxygen_saturation, temperature, heart_rate",
        "测量类型：血压、血糖、连续血糖、体重、血氧、体温、心率",
        "the meter",
    ),
    _clock(
        "measured_at",
        "When, by the patient's wall clock; whole weeks were taken off, the same for all of a patient",
        "测量时间（患者当地时间；日期整体提前若干整周，同一患者一致）",
        "the meter's clock, corrected by the gateway; see time_quality",
    ),
    _word("meter", "Tells the patient's meters apart", "区分同一患者的不同仪器", "HMAC-SHA-256 with the project's key"),
    _value("systolic_mmhg", "mmHg", "Systolic pressure", "收缩压"),
    _value("diastolic_mmhg", "mmHg", "Diastolic pressure", "舒张压"),
    _value("mean_mmhg", "mmHg", "Mean pressure, where the meter says one", "平均压（仪器给出时）"),
    _value("pulse_bpm", "1/min", "Pulse", "脉搏"),
    _value("glucose_mmol_l", "mmol/L", "Glucose", "血糖", "the meter, or counted from mg/dL"),
    _value("glucose_mg_dl", "mg/dL", "Glucose", "血糖", "the meter, or counted from mmol/L (18.0156)"),
    _word(
        "glucose_censored",
        "HI or LO: beyond what the meter can say, and then no number",
        "HI 或 LO：超出仪器量程，无数值",
        "the meter",
    ),
    _word(
        "meal",
        "preprandial, postprandial, fasting, casual, bedtime",
        "与进餐的关系：餐前、餐后、空腹、随机、睡前",
        "the meter (GATT 0x2A34)",
    ),
    _value("weight_kg", "kg", "Weight", "体重"),
    _value("spo2_percent", "%", "Oxygen saturation", "血氧饱和度"),
    _value("temperature_celsius", "°C", "Temperature", "体温"),
    _word("unit_sent", "In which unit the meter spoke", "仪器发送的单位", "the meter"),
    _word(
        "quality",
        "invalid, rejected, accepted: by the reading alone",
        "质量：invalid 无效，rejected 不采用，accepted 采用",
        "HomeVigil at intake",
    ),
    Column(
        name="quality_reasons",
        kind="texts",
        en="Why it is not accepted, or what the meter said of it",
        zh="不采用的原因，或仪器的提示",
        source="the meter's status, HomeVigil",
    ),
    _word(
        "time_quality",
        "synced, corrected, trusted, received: certain; suspect; orphan: no rule uses it",
        "时间质量：前四种可信；suspect 存疑；orphan 规则不使用",
        "the gateway",
    ),
)

ALERTS: Final = (
    _PATIENT,
    _word("rule_id", "The rule that spoke (docs/reference/rules)", "触发的规则", "the rule engine"),
    Column(name="rule_version", kind="whole", en="Its version", zh="规则版本", source="the rule engine"),
    _word("priority", "information, low, medium, high", "优先级：提示、低、中、高", "the rule engine"),
    _clock("opened_at", "When the condition became true", "条件成立的时间", "the rule engine"),
    _clock("acknowledged_at", "When a clinician took it on", "医护确认的时间", "a clinician"),
    _clock("resolved_at", "When it was over", "结束的时间", "a clinician, or the readings"),
    _word(
        "resolution",
        "What a clinician said became of it; empty: the readings ended it",
        "处理结果；空：由读数结束",
        "a clinician",
    ),
)

TABLES: Final = {"patients": PATIENTS, "readings": READINGS, "alerts": ALERTS}
