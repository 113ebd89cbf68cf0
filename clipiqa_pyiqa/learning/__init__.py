"""Learning from people's scores: tables, stored features, recipes, the trainer and the search for words."""
