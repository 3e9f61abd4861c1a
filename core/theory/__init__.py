"""Small exact models of what networks do: numpy alone, quick enough to follow a slider."""
