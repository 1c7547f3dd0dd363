"""`brainmvp models`: the versions on this computer, their cards, and which one answers to a name."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainmvp.cli.console import Group, print_json, print_table, say
from brainmvp.cli.facts import lines_of, say_part
from brainmvp.cli.options import AsJson

if TYPE_CHECKING:
    from brainmvp.card import Card

app = typer.Typer(cls=Group, help="List, show, import and choose models.", no_args_is_help=True)
# What `compare` puts side by side.
_COMPARED = ("created", "parent", "title", "held_out", "metrics")
_Reference = Annotated[str, typer.Argument(metavar="NAME[@VERSION]")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List every version; a star marks the one that answers to the bare name."""
    from brainmvp.modelstore import ModelStore

    store = ModelStore()
    models = store.models()
    rows = [
        {
            "model": model.card.id,
            "served": model.card.version == store.served(model.card.name),
            "kind": model.card.kind,
            "task": model.card.task,
            "sequences": [str(sequence) for sequence in model.card.sequences],
            "network": model.card.network.backbone,
            "built_in": model.built_in,
            "created": model.card.created.isoformat(),
            "megabytes": round(model.weights_path.stat().st_size / 1e6, 1)
            if model.weights_path.is_file()
            else None,
        }
        for model in models
    ]
    if as_json:
        print_json({"store": str(store.root), "models": rows})
        return
    columns = dict.fromkeys(("Model", "", "Kind", "Sequences", "MB", "From"), "left")
    cells = [
        (row["model"], "*" if row["served"] else "", ": ".join(filter(None, (row["kind"], row["task"]))),
         ", ".join(row["sequences"]), str(row["megabytes"] or "missing"),
         "the package" if row["built_in"] else row["created"])
        for row in rows
    ]  # fmt: skip
    print_table(None, columns | {"MB": "right"}, cells)
    say(f"Own models are kept in {store.root}")


@app.command()
def show(reference: _Reference, as_json: AsJson = False) -> None:
    """Print a model's card: known failures, what it takes and gives, results and data; --json: all of it."""
    from brainmvp.modelstore import ModelStore

    model = ModelStore().resolve(reference)
    card = model.card
    if as_json:
        print_json({"folder": str(model.folder), **card.model_dump(mode="json")})
        return
    say(f"{card.id}: {card.title}\n{card.notice}")
    say_part("Known failures", (f"- {failure}" for failure in card.known_failures))
    say_part("Takes", [f"{', '.join(card.sequences)}, at {card.spacing:g} mm"])
    say_part("Gives", _outputs(card))
    say_part("Results", lines_of(card.metrics))
    say_part("Learned from", [*card.data, *([f"Begun from {card.parent}"] if card.parent else [])])
    say(f"\nMade {card.created}; licence: {card.licence}\nKept in {model.folder}")


def _outputs(card: "Card") -> list[str]:
    """Return what a model tells apart, by name, or by key where its task is gone."""
    from brainmvp.errors import BrainMVPError
    from brainmvp.tasks import get_task

    try:
        task = get_task(card.task) if card.task else None
    except BrainMVPError:
        task = None
    titles = task.titles if task else {}
    return [f"{name}: {titles[name]}" if name in titles else name for name in card.regions]


@app.command()
def serve(reference: _Reference) -> None:
    """Make a version the one that answers to the bare name, here and in a server started later."""
    from brainmvp.errors import BrainMVPError
    from brainmvp.modelstore import ModelStore

    name, _, version = reference.partition("@")
    if not version.isdecimal():
        raise BrainMVPError(f"'{reference}' does not say which version to serve; write {name}@VERSION.")
    model = ModelStore().serve(name, int(version))
    say(f"{name} is now {model.card.id}")


@app.command()
def restore(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Go back to the version that was served before."""
    from brainmvp.errors import BrainMVPError
    from brainmvp.modelstore import ModelStore

    store = ModelStore()
    now = store.resolve(name.partition("@")[0]).card
    before = store.before(now.name)
    if before is None:
        versions = ", ".join(str(version) for version in store.versions(now.name) if version != now.version)
        remedy = f"choose one of {versions} with `models serve`" if versions else "it is the only one"
        raise BrainMVPError(f"No version of {now.name} was served before {now.id}; {remedy}.")
    say(f"{now.name} is now {store.serve(now.name, before).card.id}; it was {now.id}")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="NAME@VERSION")],
    second: Annotated[str, typer.Argument(metavar="NAME@VERSION")],
    studies: Annotated[
        Path | None, typer.Option(help="Served folder whose held-out studies both were measured on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put two versions side by side: their cards, and their Dice on the held-out studies of a folder."""
    from brainmvp.annotation.versions import compare_versions, open_annotation
    from brainmvp.errors import BrainMVPError
    from brainmvp.files import ARCHIVE_NOTES, HIDDEN
    from brainmvp.modelstore import ModelStore

    store = ModelStore()
    one, other = store.resolve(first), store.resolve(second)
    if studies and (studies / HIDDEN / ARCHIVE_NOTES).is_file():
        query = f"GET /models/{one.card.name}/compare?a={one.card.version}&b={other.card.version}"
        raise BrainMVPError(
            f"{studies} holds labels of an archive, whose studies its server knows; ask that: {query}."
        )
    result = compare_versions(one, other, open_annotation(studies) if studies else None)
    if as_json:
        print_json(result)
        return
    columns = {"": "left", one.card.id: "right", other.card.id: "right"}
    a, b = (dict(_flat({fact: result[side][fact] for fact in _COMPARED})) for side in ("a", "b"))
    print_table(None, columns, [(fact, a.get(fact, ""), b.get(fact, "")) for fact in a | b])
    if studies:
        say(result["held_out"]["sentence"])


def _flat(facts: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a card says as (name, text), a line for every number."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}, ")
        elif value is not None:
            yield above + name, str(value)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A published BrainMVP checkpoint (.pt, .pth).")],
    name: Annotated[str, typer.Option(help="Name in the store.")] = "encoder",
) -> None:
    """Read a checkpoint of the published code into the store, without running any code in it.

    Prints what became of every entry, and refuses a file that fits badly. What it holds can be fine-tuned from;
    its templates are written as images beside the weights.
    """
    from brainmvp.card import check_name
    from brainmvp.importing import import_model
    from brainmvp.modelstore import ModelStore

    model, report, templates = import_model(checkpoint, ModelStore(), check_name(name))
    say(str(report))
    say(f"Stored as {model.card.id} in {model.folder}")
    if templates:
        say(f"Templates: {templates[0].parent}")
