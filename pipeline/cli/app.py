"""The commands of `millis`, grouped by what a user does."""

from __future__ import annotations

import typer

from pipeline.cli import (
    benchmark,
    checking,
    counting,
    importing,
    language,
    language_models,
    machine,
    running,
    tables,
    verifying,
    web,
)

app = typer.Typer(
    name="millis",
    help="Find a network that meets a latency budget on the device in your hand; measured, not guessed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(machine.doctor)
app.command()(machine.devices)
app.command()(web.setup)
app.command()(tables.spaces)
app.command()(counting.count)
app.command()(tables.profile)
tables.table_app.command("predict")(checking.table_predict)
tables.table_app.command("check")(checking.table_check)
tables.table_app.command("formats")(importing.table_formats)
tables.table_app.command("import")(importing.table_import)
tables.table_app.command("export")(importing.table_export)
tables.table_app.command("missing")(importing.table_missing)
app.add_typer(tables.table_app, name="table", help="Show, compare, check, import and export latency tables.")
app.command()(running.search)
app.command()(running.derive)
app.command()(running.train)
app.command()(running.export)
language_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
language_app.command("text")(language.text_facts)
language_app.command()(language.search)
language_app.command()(language.derive)
language_app.command()(language_models.train)
language_app.command()(language_models.compare)
language_app.command()(language_models.sample)
language_app.command()(language_models.export)
language_app.command()(language_models.measure)
app.add_typer(language_app, name="language", help="Search, train and export recurrent cells on any text.")
app.command()(benchmark.benchmark)
app.command()(verifying.verify)
app.command()(running.report)
app.command()(running.run)
