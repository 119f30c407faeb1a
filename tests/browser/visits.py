"""A page of the book in one of the ways in which readers meet it, and a record of what happened."""

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
SIZES = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map(entry => [entry.name, entry.encodedBodySize])"""


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

    def open(self, path):
        """Go there and wait until nothing is being fetched and every formula is set."""
        self.page.goto(f"{self.site}/{path}", wait_until="load")
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        return self

    def sizes(self):
        """What the page is made of: {address: bytes as sent}, whether it came over the wire or out of the cache."""
        return {name.removeprefix(self.site): size for name, size in self.page.evaluate(SIZES)}
