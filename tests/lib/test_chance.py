"""Draws by chance: another order would hold out other patients of cohorts that were split before."""

from brainmvp.chance import by_chance


def test_the_order_of_a_draw_never_changes():
    assert sorted("abcdef", key=lambda patient: by_chance(f"0/{patient}")) == ["f", "c", "b", "e", "d", "a"]
