"""The two orders that look at nothing."""

from brainmvp.selection.pool import Place, Pool


def random_order(pool: Pool) -> list[Place]:
    """Order by chance. Each study has its place from seed and id, so it keeps it when others come or go."""
    drawn = [Place(facts.id, pool.draw(facts.id, "random"), "it was drawn by chance") for facts in pool.open]
    return sorted(drawn, key=lambda place: (-place.score, place.id))


def sequential(pool: Pool) -> list[Place]:
    """Order by name."""
    names = sorted(facts.id for facts in pool.open)
    return [Place(name, float(-number), "it is the next by name") for number, name in enumerate(names)]
