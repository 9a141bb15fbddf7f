"""Repair: damaged objects are restored from a copy, rebuilt, or set aside. `plan_repair` plans, `execute`
carries out.

`open_damaged` opens the vault for both, also one that other commands refuse.
"""

from .execute import Repaired, execute
from .open_damaged import open_damaged
from .plan import Remedy, RepairAction, RepairPlan, plan_repair

__all__ = ["Remedy", "RepairAction", "RepairPlan", "Repaired", "execute", "open_damaged", "plan_repair"]
