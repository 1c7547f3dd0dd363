"""What was typed on the command line: to tell it from defaults, and to have it typed again."""

import shlex

import typer


def is_typed(context: typer.Context, name: str) -> bool:
    """Tell whether an option of the command was given, by the name of its parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def typed_again(context: typer.Context, *names: str) -> str:
    """Return those of some options that were given, each with a space before it, as they are typed."""
    words = []
    for option in context.command.params:
        if option.name in names and is_typed(context, option.name):
            words += option.opts[:1] if option.is_flag else [option.opts[0], str(context.params[option.name])]
    return f" {shlex.join(words)}" if words else ""
