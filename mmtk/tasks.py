"""Tasks that are learned, and domains that they are scored in."""

from __future__ import annotations

TASKS = ("classification", "segmentation")
IN_DOMAIN, CROSS_DOMAIN = "in-domain", "cross-domain"
DOMAINS = (IN_DOMAIN, CROSS_DOMAIN)
