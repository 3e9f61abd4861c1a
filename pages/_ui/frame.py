"""The frame around every page: configuration, logo, style, title row, and what a link needs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

import streamlit as st

from core.figures.theme import Size, Style
from core.text import in_badge, plain
from pages._ui import choices, theme_watch
from pages._ui.view import View
from pages._ui.wanted import Wanted, make

ROOT = Path(__file__).resolve().parent.parent.parent
BadgeColor = Literal["green", "orange", "gray"]
_VARIABLES = {
    "light": "--fs-muted:#5B6570; --fs-on-primary:#FFFFFF",
    "dark": "--fs-muted:#9BA5AE; --fs-on-primary:#14171A",
}


def begin() -> None:
    """What ``app.py`` does first: page configuration, logo, style sheet, theme."""
    choices.begin()
    present = choices.presenting()
    icon = ROOT / "static" / "icon-light.svg"
    st.set_page_config(
        page_title="Featurescope",
        page_icon=str(icon),
        layout="wide",
        initial_sidebar_state="collapsed" if present else "auto",
    )
    mode = theme_watch.mode()
    st.session_state["_mode"] = mode
    static = ROOT / "static"
    st.logo(
        str(static / f"logo-{mode}.svg"),
        size="large",
        icon_image=str(static / f"icon-{mode}.svg"),
    )
    st.html(Path(__file__).with_name("style.css"))
    rules = f":root{{{_VARIABLES[mode]}}}"
    if present:
        rules += "html{font-size:20px}.st-key-metrics{grid-template-columns:repeat(3,1fr)}"
    st.html(f"<style>{rules}</style>")


def style(size: Size = "card") -> Style:
    """The look of figures of this size, as the reader sees the page now."""
    if choices.presenting():
        size = "presentation"
    return Style(st.session_state.get("_mode", "light"), size)


def come_back() -> None:
    """In ``app.py``: go on to the page that a link to a server just started asked for."""
    st.session_state["_framed"] = True
    if asked := st.session_state.pop("_asked_page", None):
        st.switch_page(asked, query_params=dict(st.query_params))


def guard(file: str) -> None:
    """The first call of every page.

    Because a folder ``pages/`` exists, a server that has just started runs the page of a deep
    link without ``app.py``; go there first and come back.
    """
    if not st.session_state.get("_framed"):
        st.session_state["_asked_page"] = file
        st.switch_page("app.py", query_params=dict(st.query_params))


def view(file: str) -> View:
    """What the sidebar chose, for the page in ``file``; stops where there is nothing to show."""
    guard(file)
    chosen = st.session_state["view"]
    if isinstance(chosen, View):
        return chosen
    if isinstance(chosen, Wanted):
        title(chosen.title, line=chosen.line)
        make(chosen)
        stop()
    title("Nothing to show here")
    empty(str(chosen), "Open your own checkpoint", "pages/open_your_own.py")
    stop()


def title(text: str, badges: tuple[tuple[str, BadgeColor], ...] = (), line: str = "") -> None:
    """Title with badges (text, colour) beside it, and one grey line below."""
    with st.container(key="title_row", horizontal=True, vertical_alignment="center", gap="small"):
        st.title(plain(text), anchor=False, width="content")
        for label, colour in badges:
            st.badge(in_badge(label), color=colour)
    if line:
        st.caption(plain(line))
    for notice in choices.take_notices():
        st.info(plain(notice), icon=":material/link_off:")


def heading(text: str, view: View) -> None:
    """The title row of an Explore page: which network, which data, which layer."""
    title(text, ((view.title, "gray"),), view.line)


def needs_layers(view: View) -> None:
    """Stop with a designed empty state where only the weights of the network could be read."""
    if not view.analysis.layers or view.layer is None:
        empty(
            "Only the weights of this checkpoint could be read, so there are no features to show. "
            "Overview shows what the weights tell, and what gives the rest.",
            "Go to Overview",
            "pages/overview.py",
        )
        stop()


def needs(there: bool, text: str) -> None:
    """Stop with a designed empty state unless the page's material is there."""
    if not there:
        empty(text, "Go to Overview", "pages/overview.py")
        stop()


def end() -> None:
    """What ``app.py`` does last: the URL says what was chosen, a change of theme is watched for."""
    choices.write()
    theme_watch.watch()
    st.session_state.pop("_framed", None)


def stop() -> NoReturn:
    """End the page here, in order."""
    end()
    st.stop()


def empty(text: str, label: str, page: str) -> None:
    """The state of a page, or of a card, that has nothing to draw: why, and one way on."""
    with st.container(border=True, key=f"card_empty_{Path(page).stem}"):
        st.header("Nothing to draw here", anchor=False)
        st.markdown(text)
        st.page_link(
            page, label=label, icon=":material/arrow_forward:", query_params=choices.link()
        )
