"""An AI pack: Google Play brings each phone the model that was fastest on its system on a chip.

Folders `model#group_NAME` of the pack go to the phones of that group, `model#group_other` to all others; every app sees
its own as `model` (developer.android.com/google/play/on-device-ai).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.choice import SAME
from deploy.manifest import Manifest, Measured
from deploy.packager import BundleContents, Files
from deploy.variant import Variant

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PACK = "aipack"
TARGETING = "app/device_targeting_config.xml"

_OTHER = "other"  # the group that Play itself makes of the phones that are in no group
_NAMESPACE = "http://schemas.android.com/apk/config"
# Phones tell one or the other, and Play does not know that they are the same.
_SPELLINGS = ("QTI", "Qualcomm")
_BUILD = f"""plugins {{ id("com.android.ai-pack") }}

aiPack {{
    packName = "{PACK}"
    dynamicDelivery {{ deliveryType = "install-time" }}
}}
"""


@dataclass(frozen=True, slots=True)
class Chip:
    """A system on a chip, as Android's Build.SOC_MANUFACTURER and Build.SOC_MODEL tell it."""

    manufacturer: str
    model: str

    @property
    def group(self) -> str:
        """`soc_QTI_SM8750`: letters, digits and underscores, a letter first."""
        return "soc_" + re.sub(r"[^A-Za-z0-9]+", "_", f"{self.manufacturer} {self.model}").strip("_")

    @property
    def manufacturers(self) -> tuple[str, ...]:
        return _SPELLINGS if self.manufacturer in _SPELLINGS else (self.manufacturer,)


def ai_pack(contents: BundleContents, manifest: Manifest, finished: Callable[[bytes, BundleContents], bytes]) -> Files:
    """The pack and Play's list of groups, where phones of several systems on a chip were measured; else nothing."""
    fastest = fastest_by_chip(contents)
    if len(fastest) < 2:
        return {}
    main = contents.shipped[0].candidate.variant
    groups = {_OTHER: main} | {chip.group: variant for chip, (variant, _) in fastest.items()}
    models = {
        f"{PACK}/src/main/assets/model#group_{group}/model.tflite": finished(
            variant.artifact.path.read_bytes(), contents
        )
        for group, variant in groups.items()
    }
    return {
        **models,
        f"{PACK}/build.gradle.kts": _BUILD.encode(),
        f"{PACK}/README.md": _readme(manifest.name, main, fastest).encode(),
        TARGETING: targeting_config(list(fastest)),
    }


def fastest_by_chip(contents: BundleContents) -> dict[Chip, tuple[Variant, Measured]]:
    """Of the shipped files the fastest on each chip that was measured, within 2 % of that the smallest."""
    found: dict[Chip, list[tuple[Variant, Measured]]] = {}
    for verdict in contents.shipped:
        for measured in verdict.candidate.measured:
            chip = chip_of(measured)
            if chip is not None:
                found.setdefault(chip, []).append((verdict.candidate.variant, measured))
    return {chip: _best(ranked) for chip, ranked in found.items()}


def chip_of(measured: Measured) -> Chip | None:
    """None of a device that is no phone, or a phone older than Android 12, which does not tell it."""
    told = [measured.device.get(name, "") for name in ("soc_manufacturer", "soc")]
    if any(each in {"", "not exposed", "unknown"} for each in told):
        return None
    manufacturer, model = told
    return Chip(_SPELLINGS[0] if manufacturer in _SPELLINGS else manufacturer, model)


def targeting_config(chips: list[Chip]) -> bytes:
    """Play's device_targeting_config.xml: a group for each chip."""
    from xml.etree import ElementTree as ET

    ET.register_namespace("config", _NAMESPACE)
    root = ET.Element(_tag("device-targeting-config"))
    for chip in chips:
        group = ET.SubElement(root, _tag("device-group"), name=chip.group)
        for manufacturer in chip.manufacturers:
            _select(group, manufacturer, chip.model)
    ET.indent(root, "    ")
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _select(group: Element, manufacturer: str, model: str) -> None:
    from xml.etree import ElementTree as ET

    selector = ET.SubElement(group, _tag("device-selector"))
    ET.SubElement(selector, _tag("system-on-chip"), manufacturer=manufacturer, model=model)


def _tag(name: str) -> str:
    return f"{{{_NAMESPACE}}}{name}"


def _best(ranked: list[tuple[Variant, Measured]]) -> tuple[Variant, Measured]:
    limit_ms = min(measured.measured_ms for _, measured in ranked) * (1 + SAME)
    near = [each for each in ranked if each[1].measured_ms <= limit_ms]
    return min(near, key=lambda each: each[0].artifact.size_bytes)


def _readme(name: str, main: Variant, fastest: dict[Chip, tuple[Variant, Measured]]) -> str:
    rows = "".join(
        f"| {chip.manufacturer} {chip.model} | `{chip.group}` | {variant.precision} | {measured.measured_ms:.3f} ms |\n"
        for chip, (variant, measured) in fastest.items()
    )
    return f"""# {name}: the fastest model for each phone

| system on a chip | group | model | measured |
|---|---|---|---|
{rows}| any other | `{_OTHER}` | {main.precision} | not measured there |

Android Gradle Plugin 8.10 or newer brings each phone its own through Google Play:

1. Copy `{PACK}` beside `app` in your project, add `include(":{PACK}")` to `settings.gradle.kts`, and to
   `gradle.properties`: `android.experimental.enableDeviceTargetingConfigApi=true`
2. In `app/build.gradle.kts`:

   ```kotlin
   android {{
       assetPacks += ":{PACK}"
       bundle {{
           deviceTargetingConfig = file("device_targeting_config.xml")
           deviceGroup {{ enableSplit = true; defaultGroup = "{_OTHER}" }}
       }}
   }}
   ```
3. Use `Classifier(context, model = "model/model.tflite")`, and remove `app/src/main/assets/millis/model.tflite`. With
   it goes `GoldenTest.kt`, which opens that file and knows the golden outputs of that model only: to run the test,
   leave both where they are.
"""
