"""A page of the book in one of the ways in which readers meet it, and a record of what happened."""

from pathlib import Path

MODES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {
        "color_scheme": "light",
        "viewport": {"width": 360, "height": 780},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# By day everything is checked; at night the colours alone are different, and on a phone they are not.
AXE_OPTIONS = {
    "light": {"runOnly": STANDARDS},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
    "phone": {"runOnly": STANDARDS, "rules": {"color-contrast": {"enabled": False}}},
}
SIZES = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map(entry => [entry.name, entry.encodedBodySize])"""

READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const explorers = [...document.querySelectorAll('.gradpress-place[data-explorer]')];
  while (explorers.some(e => e.gradpress?.firstAnswer == null)) await new Promise(requestAnimationFrame);
}"""


class Visit:
    """One page in one browser context; ``page`` is Playwright's page, the lists name what went wrong."""

    def __init__(self, context, site):
        self.page, self.site = context.new_page(), site
        self.foreign, self.failed, self.errors = [], [], []
        self.page.on("request", self.note_foreign)
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on("response", self.note_failure)
        self.page.on("console", self.note_error)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def note_foreign(self, request):
        """The browser finds no other host (see FLAGS in conftest); here it is noted that a page asked for one."""
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.foreign.append(request.url)

    def note_failure(self, response):
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")

    def note_error(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, path, whole=True):
        """Go there; for the whole page, wait until formulas are set, fonts are there and explorers are drawn."""
        self.page.goto(f"{self.site}/{path}", wait_until="load")
        if whole:
            self.page.evaluate(READY)
        return self

    def become(self, mode):
        """Change the screen and the system's colours, and wait until the page has followed.

        A theme that turns, a layout that breaks anew and an explorer that draws itself anew take a few frames; the
        theme looks a third of a second later which boxes can now be scrolled.
        """
        scheme = MODES[mode]["color_scheme"]
        self.page.set_viewport_size(MODES[mode]["viewport"])
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        self.page.wait_for_timeout(500)

    def sizes(self):
        """What the page is made of: {address: bytes as sent}, whether it came over the wire or out of the cache."""
        return {name.removeprefix(self.site): size for name, size in self.page.evaluate(SIZES)}
