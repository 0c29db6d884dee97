"""Which cloud the machine belongs to, by what its firmware says of itself (DMI); the network is never asked.

Law: what the firmware does not say is ``unknown``, and that is an answer: nothing is guessed from a host name.
"""

from __future__ import annotations

from pathlib import Path

_FIELDS = ("sys_vendor", "product_name", "bios_vendor", "board_vendor", "chassis_vendor", "chassis_asset_tag")
# https://cloudinit.readthedocs.io/en/latest/explanation/kernel-command-line.html (ds-identify) reads the same fields.
_AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
_VENDORS = {
    "amazon ec2": "aws",
    "google": "gcp",
    "alibaba cloud": "alibaba",
    "digitalocean": "digitalocean",
    "hetzner": "hetzner",
    "huawei cloud": "huawei",
    "linode": "linode",
    "akamai": "linode",
    "openstack foundation": "openstack",
    "scaleway": "scaleway",
    "tencent cloud": "tencent",
    "upcloud": "upcloud",
    "vultr": "vultr",
}


def identify_cloud(folder: Path = Path("/sys/class/dmi/id")) -> dict[str, str]:
    """Say which provider and which type of machine.

    Parameters
    ----------
    folder : path
        Where the kernel shows DMI.

    Returns
    -------
    dict
        ``provider`` (``unknown`` where nothing names one), ``instance`` (its type; ``unknown`` where the firmware does
        not say it), ``vendor`` and ``product`` as the firmware has them.
    """
    facts = {field: _text(folder / field) for field in _FIELDS}
    provider = "unknown"
    for field in ("sys_vendor", "bios_vendor", "board_vendor", "chassis_vendor", "product_name"):
        provider = next(
            (name for vendor, name in _VENDORS.items() if facts[field].lower().startswith(vendor)), provider
        )
        if provider != "unknown":
            break
    if facts["chassis_asset_tag"] == _AZURE_TAG:
        provider = "azure"
    elif facts["chassis_asset_tag"] == "OracleCloud.com":
        provider = "oracle"
    return {
        "provider": provider,
        # Only Amazon and Alibaba name the type here.
        "instance": facts["product_name"] if provider in ("aws", "alibaba") and facts["product_name"] else "unknown",
        "vendor": facts["sys_vendor"] or "unknown",
        "product": facts["product_name"] or "unknown",
    }


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""  # no such field, or not for this user: `identify_cloud` answers unknown
