"""`models card`: what people say of a version, and what is known of it."""

from __future__ import annotations

__all__ = ["card"]

from pathlib import Path

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import harmless, print_json
from mainspring.errors import Invalid, NotFound
from mainspring.ref import ModelRef

card = App(
    name="card",
    help_epilogue="""\
Examples:
  mainspring models card late-orders@7 > card.md
  mainspring models card late-orders@7 --words > words.md
  mainspring models card late-orders@7 --edit words.md --reason "who answers for it has changed\"""",
)


@card.default
def show_card(
    ref: str,
    /,
    *,
    words: bool = False,
    edit: Path | None = None,
    reason: str = "",
    options: Options = HERE,
) -> None:
    """Print the card of a model version as Markdown, or edit what people say on it.

    Parameters
    ----------
    ref : str
        Such as late-orders@7 or late-orders@champion.
    words : bool
        Print only what people say: intended use, limits, owners, license. That is what can be edited.
    edit : Path
        A Markdown file; its content takes the place of those words. What is known of the version stays.
    reason : str
        Why it is edited; the card tells it with its history.
    """
    from mainspring.governance import markdown
    from mainspring.operate.cards import card as card_of
    from mainspring.operate.cards import edit_card

    which = ModelRef.parse(ref)
    new = None if edit is None else _text_of(edit)
    with opened(options) as workspace:
        if new is None:
            found = card_of(workspace, which)
        else:
            found = edit_card(workspace, which, new, actor=actor(), reason=reason)
    if options.json:
        print_json(found)
    else:
        print(harmless((found.words if words else markdown(found)).rstrip("\n")))


def _text_of(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        raise NotFound(f"There is no file {file}. Write the words into one, in Markdown.") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is no text in UTF-8.") from None
