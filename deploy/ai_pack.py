"""An AI pack: Google Play brings each phone the model that was measured best on its system on a chip.

Folders `model#group_NAME` of the pack go to the phones of that group, `model#group_other` to all others; every app sees
its own as `model` (developer.android.com/google/play/on-device-ai).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.manifest import Manifest, Measured, Model
from deploy.packager import BundleContents, Files

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
    """The pack and Play's list of groups, where a model is the best for some; else nothing."""
    models = {group: model for model in manifest.models for group in model.groups}
    if not models:
        return {}
    variants, chips = contents.variants, _chips(contents)
    return {
        **{
            f"{PACK}/src/main/assets/model#group_{group}/model.tflite": finished(
                variants[model.name].artifact.path.read_bytes(), contents
            )
            for group, model in {_OTHER: manifest.model, **models}.items()
        },
        f"{PACK}/build.gradle.kts": _BUILD.encode(),
        f"{PACK}/README.md": _readme(manifest, {chips[group]: model for group, model in models.items()}).encode(),
        TARGETING: targeting_config([chips[group] for group in models]),
    }


def group_of(measured: Measured) -> str | None:
    """The group that what was measured holds for."""
    chip = chip_of(measured)
    return None if chip is None else chip.group


def _chips(contents: BundleContents) -> dict[str, Chip]:
    """Of each group."""
    found = (chip_of(each) for verdict in contents.verdicts for each in verdict.candidate.measured)
    return {chip.group: chip for chip in found if chip is not None}


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


def _readme(manifest: Manifest, models: dict[Chip, Model]) -> str:
    rows = "".join(
        f"| {chip.manufacturer} {chip.model} | `{chip.group}` | {model.precision} | {model.groups[chip.group]} |\n"
        for chip, model in models.items()
    )
    main = manifest.model
    return f"""# {manifest.name}: the best model for each phone

| system on a chip | group | model | why |
|---|---|---|---|
{rows}| any other | `{_OTHER}` | {main.precision} | not measured there; of all that were measured: {main.reason} |

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
