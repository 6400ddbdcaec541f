"""Key charts look as they did when somebody last looked at them and found them right.

A change that is meant: `python -m tests.browser.test_chart_pictures` takes the pictures anew; look at each that git
then shows as changed before it is committed.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chart_board import BOARD, SPOILERS
from tests.browser.conftest import FLAGS
from tests.browser.looking import settle
from tests.browser.people import PATIENCE_MS
from tests.processes import START_S, ModuleProcess, free_port, wait_until
from tests.requirements import require

ROOT: Final = Path(__file__).resolve().parents[2]
PICTURES: Final = Path(__file__).parent / "chart_pictures"
SCHEMES: Final = ("light", "dark")
BOARD_FILE: Final = Path(__file__).with_name("chart_board.py")
BLUR_PX, APART, MOST_APART = 4.0, 22, 0.002
"""A point counts as another one where, blurred so that an edge may lie a little aside, a channel differs by more than
`APART` of 255; of so many of all points a picture is another one. That a line of one point's width is there is asked
by the tests of the figures themselves."""
TALLER: Final = 0.02


class Board(ModuleProcess):
    """`streamlit run` of the charts, with the console's own theme and style."""

    def __init__(self, log: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        super().__init__(
            log, "streamlit", ["run", str(BOARD_FILE), "--server.port", str(port)], PYTHONPATH=str(ROOT)
        )

    def answers(self) -> bool:
        self.assert_runs()
        try:
            return httpx.get(f"{self.url}/_stcore/health", timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def board_running(log: Path) -> Iterator[str]:
    with Board(log).start() as board:
        wait_until(board.answers, within_s=START_S, what="the board of charts")
        yield board.url


@contextmanager
def opened(browser: Browser, address: str, scheme: str) -> Iterator[Page]:
    page = browser.new_page(
        viewport={"width": 900, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    try:
        page.goto(address, timeout=PATIENCE_MS)
        settle(page)
        page.evaluate("document.fonts.ready")
        yield page
    finally:
        page.close()


def picture_of(page: Page, name: str) -> Image.Image:
    shot = page.locator(f".st-key-{name} .js-plotly-plot").screenshot(animations="disabled")
    return Image.open(io.BytesIO(shot)).convert("RGB")


def apart(left: Image.Image, right: Image.Image) -> float:
    """The share of points that differ; 1 where the sizes do. Both are blurred first: a letter or an edge that another
    version of a browser sets a point aside is none."""
    if left.width != right.width or abs(left.height - right.height) > TALLER * right.height:
        return 1.0
    size = (left.width, min(left.height, right.height))
    blurred = [
        np.asarray(one.crop((0, 0, *size)).filter(ImageFilter.GaussianBlur(BLUR_PX)), dtype=np.int16)
        for one in (left, right)
    ]
    return float((np.abs(blurred[0] - blurred[1]).max(axis=2) > APART).mean())


def known(name: str, scheme: str) -> Image.Image:
    return Image.open(PICTURES / f"{name}-{scheme}.webp").convert("RGB")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require("chromium")
    require("dejavu")
    with board_running(tmp_path_factory.mktemp("board") / "board.log") as address:
        yield address


@pytest.fixture(scope="module", params=SCHEMES)
def shown(request: pytest.FixtureRequest, chromium: Browser, board: str) -> Iterator[tuple[Page, str]]:
    with opened(chromium, board, request.param) as page:
        yield page, request.param


@pytest.mark.parametrize("name", BOARD)
def test_a_key_chart_looks_as_it_did(shown: tuple[Page, str], name: str, tmp_path: Path) -> None:
    page, scheme = shown
    now = picture_of(page, name)
    kept = tmp_path / f"{name}-{scheme}.png"
    now.save(kept)
    share = apart(now, known(name, scheme))
    assert share <= MOST_APART, (
        f"{share:.2%} of {name} ({scheme}) is drawn otherwise: {kept}; if that is meant, "
        "python -m tests.browser.test_chart_pictures"
    )


@pytest.mark.parametrize("how", SPOILERS)
def test_a_chart_that_lost_something_is_another_one(chromium: Browser, board: str, how: str) -> None:
    with opened(chromium, f"{board}/?spoilt={how}", "light") as page:
        now = picture_of(page, "drift_of_a_column")
    assert apart(now, known("drift_of_a_column", "light")) > MOST_APART


def test_no_picture_is_kept_of_a_chart_that_there_is_not() -> None:
    assert {one.name for one in PICTURES.iterdir()} == {
        f"{name}-{scheme}.webp" for name in BOARD for scheme in SCHEMES
    }


def take_anew() -> None:
    """Write every picture of `BOARD`, and drop those of charts that are no more."""
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.webp"):
        old.unlink()
    with board_running(Path("board.log").absolute()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require("chromium"), args=list(FLAGS))
        for scheme in SCHEMES:
            with opened(browser, address, scheme) as page:
                for name in BOARD:
                    picture_of(page, name).save(PICTURES / f"{name}-{scheme}.webp", quality=90)
        browser.close()
    Path("board.log").unlink()


if __name__ == "__main__":
    sys.exit(take_anew())
