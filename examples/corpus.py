"""A few texts, which the examples search."""

TEXTS = [
    "The ferry to the island leaves at noon.",
    "A kitten sleeps on the warm wall behind the bakery.",
    "Shares fell after the bank raised its rates.",
    "The bridge over the river is closed for repairs.",
    "Add the flour slowly and knead for ten minutes.",
    "Our train was delayed by snow for three hours.",
    "The museum shows paintings by local artists.",
    "The vaccine protects against both strains of the virus.",
]
QUERY = "When does the boat depart?"
