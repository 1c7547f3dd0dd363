"""How good a model is on labelled studies: metrics, intervals, tests, tables and pages to look at."""
