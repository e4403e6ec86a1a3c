"""From a recipe to a checked plan. Pure: no model, no network, no clock."""
