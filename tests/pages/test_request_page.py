"""The box Forget on a page: a name alone is a request, Enter takes the best match, and a wrong one leaves the page as it was."""

from __future__ import annotations

import re

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import CLASSES, TINY, has_button, rerun, sentence, visit


def box(at: AppTest) -> str:
    return at.sidebar.selectbox(key="forget").value


def enter(at: AppTest, text: str) -> AppTest:
    """Type `text` into the box and press Enter."""
    at.sidebar.selectbox(key="forget").set_value(text)
    return rerun(at)


@pytest.fixture(scope="module")
def page(served: object, tiny: object) -> AppTest:
    return visit("influence", **TINY, forget="class:Bag")


@pytest.mark.parametrize(
    ("text", "request_"),
    {
        "Trouser": "class:Trouser",
        "tROUSER": "class:Trouser",
        "trou": "class:Trouser",
        "Trowser": "class:Trouser",
        "tshirt": "class:T-shirt",
        "shirt": "class:Shirt",
        "boot + sand": "class:Boot+Sandal",
        "clas:Dres": "class:Dress",
        "outl": "outliers:100",
    }.items(),
)
def test_enter_takes_the_best_match(page: AppTest, text: str, request_: str) -> None:
    at = enter(page, text)
    assert box(at) == request_
    assert not at.warning
    assert at.metric


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "s": "may be Sandal, Shirt or Sneaker",
        "Zebra": "Its classes: T-shirt, Trouser",
        "class:Zebra": "Its classes: T-shirt, Trouser",
        "random:100%": "allowed are 1 to 399",
        "ids:99999999": "from 0 to 399",
        "class:" + "+".join(CLASSES): "two classes must remain",
        "": "empty",
    }.items(),
)
def test_a_request_that_cannot_be_had_leaves_the_page_as_it_was(page: AppTest, text: str, said: str) -> None:
    enter(page, "class:Bag")
    shown = [m.value for m in page.metric]
    at = enter(page, text)
    assert said in sentence(at)
    assert "still shows class:Bag" in sentence(at)
    assert box(at) == "class:Bag"
    assert [m.value for m in at.metric] == shown
    assert not enter(at, "class:Coat").warning


@pytest.mark.parametrize("page", ["influence", "unlearn"])
def test_a_link_with_such_a_request_opens_the_page_and_says_so(tiny: object, page: str) -> None:
    at = visit(page, **TINY, forget="nonsense")
    assert "There is no class 'nonsense'" in sentence(at)
    assert box(at) == "class:Sandal"
    assert at.metric or has_button(at, "Run")
    assert rerun(at).query_params.get("forget", "class:Sandal") == "class:Sandal"


def test_a_link_may_name_a_class_alone_or_nearly(tiny: object) -> None:
    assert not visit("unlearn", **TINY, forget="Trouser").warning
    at = visit("unlearn", **TINY, forget="trous")
    assert box(at) == "class:Trouser"
    assert not at.warning


def test_what_was_typed_cannot_bring_markup_into_the_page(tiny: object) -> None:
    at = visit("influence", **TINY, forget="x[press](http://a.example)![](http://b.example)")
    assert re.search(r"(?<!\\)\]\(http", at.warning[0].value) is None
