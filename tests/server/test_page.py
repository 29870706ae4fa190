"""The page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission

from .servers import PATIENCE, Running, behind_prefix, running

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install '.[test]'"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: a Debian package")

IMAGE = Path(__file__).resolve().parents[2] / "docs/images/page.png"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    with opened(browser, server) as page:
        yield page


class opened:
    """A page of a server; it must log no error and send requests to this server only."""

    def __init__(self, browser: Any, server: Running, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        self.server = server
        self.complaints: list[str] = []

    def __enter__(self) -> Any:
        page = self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("request", self.check)
        page.goto(f"{self.server.url}/")
        until(page, "document.querySelector('#facts').textContent.includes('numbers')")
        page.wait_for_selector("#ranking button")
        return page

    def check(self, request: Any) -> None:
        if not request.url.startswith((self.server.url, "data:")):
            self.complaints.append(f"asked {request.url}")

    def __exit__(self, *exception: object) -> None:
        self.context.close()
        assert self.complaints == [] or exception[0]


def until(page: Any, expression: str) -> None:
    """Wait for something to be true; playwright's own way needs eval, which the policy forbids."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def ranked(page: Any) -> list[str]:
    return page.locator("#ranking .text").all_text_contents()


def type_lines(page: Any, lines: list[str]) -> None:
    page.fill("#texts", "\n".join(lines))
    kept = [line for line in lines if line.strip()]
    until(page, f"JSON.stringify(state.lines) === JSON.stringify({json.dumps(kept)})")


def search(page: Any, query: str) -> None:
    page.fill("#query", query)
    until(page, f"state.query === {json.dumps(query)}")


def test_ranking_is_the_librarys(page: Any, model: SentenceTransformer) -> None:
    lines = ["a dog barks", "  ", "the stock market fell", "a puppy", "<b>bold</b> & 'quoted' 🙂"]
    type_lines(page, lines)
    search(page, "a young dog")
    kept = [line for line in lines if line.strip()]
    vectors = model.encode(["a young dog", *kept])
    scores = model.similarity(vectors[0], vectors[1:])[0]
    order = scores.argsort()[::-1]
    assert ranked(page) == [kept[row] for row in order]
    shown = [float(text) for text in page.locator("#ranking .score").all_text_contents()]
    assert shown == pytest.approx([float(scores[row]) for row in order], abs=6e-4)
    assert kept[order[0]] in page.text_content("#best")
    search(page, "")
    assert ranked(page) == kept
    assert page.text_content("#best") == ""


def test_heat_map_by_keyboard(page: Any, model: SentenceTransformer) -> None:
    lines = ["one cat", "one kitten", "tax law"]
    type_lines(page, lines)
    page.focus("#texts")
    reached = []
    while "map" not in reached:  # by the Tab key alone
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert len(reached) < 20
    assert [name for name in reached if name] == ["query", "heat", "group", "map"]
    page.focus("#heat")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    told = page.text_content("#heat-cell")
    vectors = model.encode(lines)
    score = float(model.similarity(vectors[1], vectors[2])[0, 0])
    assert float(told.partition(":")[0]) == pytest.approx(score, abs=6e-4)
    assert "line 2, “one kitten” and line 3, “tax law”" in told
    assert page.locator('#ranking [aria-pressed="true"] .text').text_content() == "one kitten"
    box = page.locator("#heat").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 5, box["y"] + 25)
    assert "line 1, “one cat” and line 3" in page.text_content("#heat-cell")
    colours = page.evaluate(
        "(() => { const c = document.querySelector('#heat'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const s = new Set();"
        "for (let i = 0; i < d.length; i += 4) s.add(d.slice(i, i + 3).join()); return s.size; })()"
    )
    assert colours > 5


LABELS = """() => {
  const labels = [];
  const own = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const width = this.measureText(text).width;
    const left = { left: x, center: x - width / 2, right: x - width }[this.textAlign];
    labels.push([text, left, y - 6, left + width, y + 6, this.fillStyle]);
  };
  showHeat();
  CanvasRenderingContext2D.prototype.fillText = own;
  return labels;
}"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("count", [5, 40, 100, 200])
def test_labels_of_the_heat_map_do_not_overlap(page: Any, width: int, count: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(250)  # the page draws anew
    type_lines(page, [f"line {number} of many" for number in range(count)])
    for row, column in ((0, 1), (count // 2, count - 1), (count - 1, count // 3)):
        page.evaluate(f"heat.under = [{row}, {column}]")
        labels = page.evaluate(LABELS)
        marked = [label for label in labels if label[5] != labels[-1][5] or len(labels) < 3]
        assert {str(row + 1), str(column + 1)} <= {str(label[0]) for label in marked}
        for number, (_, left, above, right, below, _) in enumerate(labels):
            assert left >= 0
            assert above >= 0
            assert right <= page.evaluate("document.querySelector('#heat').clientWidth")
            assert below <= page.evaluate("document.querySelector('#heat').clientHeight")
            for _, left2, above2, right2, below2, _ in labels[number + 1 :]:
                apart = left >= right2 or left2 >= right or above >= below2 or above2 >= below
                assert apart, labels[number]


def test_the_cell_under_the_pointer_is_told(page: Any) -> None:
    type_lines(page, [f"line {number} of many" for number in range(150)])
    before = page.text_content("#heat-cell")
    page.locator("#heat").scroll_into_view_if_needed()
    box = page.locator("#heat").bounding_box()
    labels, top, cell = page.evaluate("[heat.labels, heat.top, heat.cell]")
    page.mouse.move(box["x"] + labels + 70.5 * cell, box["y"] + top + 41.5 * cell)
    told = page.text_content("#heat-cell")
    assert "line 42, “line 41 of many” and line 71, “line 70 of many”" in told
    page.mouse.move(box["x"] + 5, box["y"] - 20)
    assert page.text_content("#heat-cell") == before


def test_a_cut_line_says_so(page: Any) -> None:
    """Whatever is long: words, or signs of several tokens each."""
    long = ["word " * 600, "한국어 " * 100, "short 9 " * 300]
    short = [f"line {number}" for number in range(9)]
    type_lines(page, [line.strip() for line in [*short[:4], *long, *short[4:]]])
    rows = page.locator("#ranking button")
    told = [row.locator(".cut").count() for row in rows.all()]
    assert told == [0] * 4 + [1] * 3 + [0] * 5
    assert rows.nth(4).locator(".cut").text_content() == "cut at 512 tokens"


def test_an_example_to_start_with(page: Any) -> None:
    for selector in ("#texts", "#query"):
        assert page.get_attribute(selector, "placeholder")
    type_lines(page, ["one"])
    page.get_by_role("button", name="Show the example").click()
    until(page, "state.lines.length === 12 && state.query !== ''")
    assert page.locator("#ranking .score").count() == 12
    assert "ferry" in page.text_content("#best") or "boat" in page.text_content("#best")


@pytest.mark.parametrize("touch", [True, False])
def test_hints_fit_the_device(browser: Any, server: Running, touch: bool) -> None:
    with opened(browser, server, has_touch=touch, is_mobile=touch) as page:
        for hint in ("#heat-help", "#map-help"):
            text = page.locator(hint).inner_text()
            assert ("Tap a" in text) == touch
            assert ("arrow keys" in text) != touch
        assert "directions are those in which these lines differ most" in (
            page.locator("#map-help").inner_text().replace("\n", " ")
        )


def test_the_interface_is_readable(page: Any) -> None:
    page.get_by_role("link", name="all of the interface").click()
    page.wait_for_selector("details")
    assert page.locator("h2").all_text_contents() == ["OpenAI", "TEI", "Cohere", "Ollama", "Server"]
    paths = page.evaluate("fetch('openapi.json').then((a) => a.json()).then((d) => d.paths)")
    assert page.locator("details").count() == sum(map(len, paths.values()))
    entry = page.locator("details").first
    entry.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "1 to 384" in entry.locator("dl").inner_text()
    call = entry.locator("pre").inner_text()
    assert call.startswith(f"curl {page.url.removesuffix('/interface.html')}/v1/embeddings -d '{{")
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_behind_a_prefix(browser: Any, server: Running) -> None:
    with behind_prefix(server, "/models/a") as url:
        page = browser.new_page()
        page.goto(f"{url}/")
        page.wait_for_selector("#ranking button", timeout=1000 * PATIENCE)
        page.goto(f"{url}/interface.html")
        page.wait_for_selector("details", timeout=1000 * PATIENCE)
        page.close()


def test_map_shows_groups(page: Any) -> None:
    cats = ["a cat sleeps", "the kitten sleeps", "a sleeping cat"]
    money = ["interest rates rise", "the central bank's interest rate", "rates of interest fell"]
    type_lines(page, cats + money)
    places = page.evaluate("state.places")
    left = [x for x, _ in places]
    assert max(left[:3]) < min(left[3:]) or min(left[:3]) > max(left[3:])
    page.focus("#map")
    for key, back, axis in (("ArrowRight", "ArrowLeft", 0), ("ArrowDown", "ArrowUp", 1)):
        for _ in places:
            page.keyboard.press(back)
        visited = []
        for _ in places:
            visited.append(page.evaluate("state.chosen"))
            page.keyboard.press(key)
        assert visited == sorted(range(6), key=lambda line: places[line][axis])
    page.locator("#map .point").nth(4).click(force=True)
    assert "Line 5, “the central bank's interest rate”; most like it" in page.text_content(
        "#map-point"
    )


def test_similar_lines_together(page: Any) -> None:
    type_lines(page, ["a cat", "tax law", "a kitten", "law on taxes"])
    page.get_by_label("Put similar lines together").check()
    until(page, "state.order.join() !== '0,1,2,3'")
    order = page.evaluate("state.order")
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


@pytest.mark.parametrize("lines", [[], ["one"], ["same", "same"], ["x"] * 250])
def test_few_equal_and_many_lines(page: Any, lines: list[str]) -> None:
    page.fill("#texts", "\n".join(lines))
    expected = f"first 200 of {len(lines)}" if len(lines) > 200 else f"{len(lines)} line"
    until(page, f"/(^|\\D){expected}/.test(document.querySelector('#count').textContent)")
    search(page, "anything")
    assert len(ranked(page)) == min(len(lines), 200)
    assert "NaN" not in page.content()


def test_everything_has_a_name(page: Any) -> None:
    names = {"#texts": "Texts", "#query": "Search", "#heat": "Similarity", "#map": "Map"}
    for selector, name in names.items():
        tree = page.locator(selector).aria_snapshot()
        assert f'"{name}"' in tree
    assert page.locator("html").get_attribute("lang") == "en"
    headings = page.locator("h1, h2").all_text_contents()
    assert headings == ["bge-micro", "Texts", "Search", "Similarity", "Map"]


def contrast(page: Any, selector: str) -> float:
    """Return the contrast of an element's text with what is behind it (WCAG)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    colours = page.evaluate(
        """selector => {
          let element = document.querySelector(selector);
          const ink = getComputedStyle(element).color;
          while (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)")
            element = element.parentElement;
          return [ink, getComputedStyle(element).backgroundColor];
        }""",
        selector,
    )
    light, dark = sorted(map(luminance, colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Any, server: Running, scheme: str) -> None:
    with opened(browser, server, color_scheme=scheme) as page:
        search(page, "a question")
        for selector in ("h1", "#texts", ".help", "#ranking .text", "#ranking .score", "footer a"):
            assert contrast(page, selector) >= 4.5, selector


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_nothing_sticks_out(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(250)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#heat").bounding_box()["width"] <= width


def test_api_key(browser: Any, model: SentenceTransformer) -> None:
    with running(model, admission=Admission("s3cret")) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.url}/")
        page.wait_for_selector("#key-form:visible")
        assert page.locator("#key-problem").is_hidden()
        page.get_by_label("This server asks for its API key").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-problem:visible")
        assert page.text_content("#key-problem") == "The server refuses this key."
        assert page.locator("#problem").is_hidden()
        page.get_by_label("This server asks for its API key").fill("s3cret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ranking button", timeout=1000 * PATIENCE)
        assert page.locator("#key-form").is_hidden()
        assert page.locator("#problem").is_hidden()
        context.close()


def test_a_server_that_is_gone_is_told(browser: Any, model: SentenceTransformer) -> None:
    context = browser.new_context()
    page = context.new_page()
    with running(model) as server:
        page.goto(f"{server.url}/")
        page.wait_for_selector("#ranking button")
    page.fill("#query", "anything new")
    page.wait_for_selector("#problem:visible", timeout=1000 * PATIENCE)
    assert "No answer from the server" in page.text_content("#problem")
    context.close()


def test_the_screenshot_in_the_readme() -> None:
    assert IMAGE.stat().st_size < 200_000
    assert "docs/images/page.png" in (IMAGE.parents[2] / "README.md").read_text(encoding="utf-8")
