"""What the panel says of a training, without a real one: how long it takes, and only of the server that runs it."""

from BrainMVPLib.training import Training


def test_how_long_a_training_takes_is_said_while_it_runs(session):
    training = Training(session)
    epoch = {
        "state": "training",
        "message": "Epoch 2 of 8, step 3 of 20.",
        "dice": None,
        "seconds_left": None,
    }
    stopped = "The training was stopped in epoch 2; start it again to go on."
    for progress, says in (
        (epoch, "Epoch 2 of 8, step 3 of 20."),
        (epoch | {"seconds_left": 290.0}, "Epoch 2 of 8, step 3 of 20. About 5 min left."),
        (
            epoch | {"seconds_left": 8.0, "dice": 0.8128},
            "Epoch 2 of 8, step 3 of 20. Dice 0.813 at the last validation. About 1 min left.",
        ),
        (epoch | {"state": "stopped", "dice": 0.8128, "message": stopped}, stopped),
    ):
        training._told = session.client, {"progress": progress}, ""
        assert training.in_words() == says


def test_what_a_server_said_of_a_training_is_not_said_of_another_or_when_it_is_away(study, stock, settle):
    training = Training(study)
    running = study.client, {"progress": {"state": "training", "message": "Epoch 3 of 8."}}, ""
    training._told = running
    assert (training.running, training.in_words()) == (True, "Epoch 3 of 8.")
    stock.wrong["/train/"] = 500
    training.ask()
    settle(study)
    assert not training.running
    assert training.in_words().startswith("How the training is cannot be told: ")
    training._told = running
    study.disconnect()
    assert (training.running, training.in_words()) == (False, "No training yet.")
    study.connect(stock.url)
    settle(study)
    assert (training.running, training.in_words()) == (False, "No training yet.")


def test_the_model_that_trains_is_that_of_the_label(study, stock, settle):
    Training(study).start(model="rims")
    settle(study)
    assert "POST /train/rims" in stock.calls
    Training(study).start()
    settle(study)
    assert "POST /train/lesions" in stock.calls
