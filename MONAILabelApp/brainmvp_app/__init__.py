"""What binds the BrainMVP library to MONAI Label: the study datastore, inference, strategies and the web rules.

The package has a name of its own because MONAI Label puts the app's folder on the module path.
"""
