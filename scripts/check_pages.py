"""Check that no line of the built documentation is cut on a phone.

    zensical build --strict --clean && python scripts/check_pages.py [SITE]

Opens every page 390 pixels wide in Chromium. Fails if a page is wider than the window, if a code
block is, or if anything else is outside of the window and nothing around it scrolls. Needs the
package playwright and a Chromium in PATH.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 390, 844  # CSS pixels of a common phone

# Returns the start of each text that is cut, and of each code block that must be scrolled to read.
CUT = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => {
    for (let outer = element; outer !== document.body; outer = outer.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(outer).overflowX)) return true;
    return false;
  };
  const isCut = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.left < -1 || box.right > width + 1) && !scrolls(element);
  };
  const isWideCode = (element) =>
    element.matches("pre > code") && element.scrollWidth > element.clientWidth + 1;
  const isWidePage = (element) =>
    element === document.body && document.documentElement.scrollWidth > width;
  return [document.body, ...document.querySelectorAll("article *")]
    .filter((element) => isWidePage(element) || isCut(element) || isWideCode(element))
    .map((element) => `${element.localName}: ${element.textContent.trim().slice(0, 60)}`);
}"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def main(site: Path) -> int:
    """Check every page; return the exit code."""
    pages = sorted(site.rglob("index.html"))
    if not pages:
        print(f"no pages in {site}: run zensical build first", file=sys.stderr)
        return 1
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    failures = 0
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for page in pages:
            path = page.relative_to(site).parent.as_posix()
            window.goto(f"http://127.0.0.1:{server.server_port}/{path}/")
            for what in window.evaluate(CUT):
                print(f"{path}: cut at {WIDTH} pixels: {what!r}", file=sys.stderr)
                failures += 1
        browser.close()
    server.shutdown()
    print(f"{len(pages)} pages, {failures} cuts")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "site")))
