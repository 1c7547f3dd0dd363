"""The tables of a comparison."""

from brainmvp.finetune.experiment import summary_table


def test_the_spread_over_seeds_is_that_of_a_sample():
    row = {
        "variant": "scratch",
        "fraction": 1.0,
        "studies": 5,
        "training_s": 2.0,
        "inference_s": 1.0,
        "parameters": 1e6,
    }
    one, three = (
        summary_table([row | {"dice": dice} for dice in values], ["dice"])[1][3]
        for values in ([0.5], [0.4, 0.5, 0.6])
    )
    assert (one, three) == ("0.5000", "0.5000 ± 0.1000")
