"""The search language: filter texts, orders and pages (contract 4)."""

from registry_core.search.language import parse_filter, split_prompts
from registry_core.search.nodes import (
    AttributeRef,
    Comparison,
    CutPage,
    Entity,
    Filter,
    Op,
    OrderBy,
    Page,
    Query,
    TagRef,
    Value,
)
from registry_core.search.ordering import parse_order_by
from registry_core.search.pages import all_pages, every_page
from registry_core.search.rendering import render_filter, render_order_by

__all__ = [
    "AttributeRef",
    "Comparison",
    "CutPage",
    "Entity",
    "Filter",
    "Op",
    "OrderBy",
    "Page",
    "Query",
    "TagRef",
    "Value",
    "all_pages",
    "every_page",
    "parse_filter",
    "parse_order_by",
    "render_filter",
    "render_order_by",
    "split_prompts",
]
