"""Prune: points are expired, timelines compacted, and room given back. `plan_prune` plans, `execute` carries
out.
"""

from .execute import Pruned, execute
from .plan import DAY, PrunePlan, plan_prune

__all__ = ["DAY", "PrunePlan", "Pruned", "execute", "plan_prune"]
