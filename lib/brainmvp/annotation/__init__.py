"""The state of an annotation: who has which study, what was labelled when, and how good each model version is."""
