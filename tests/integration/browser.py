"""browser.py - headless Chromium for tests, by the DevTools protocol over two pipes
(https://chromedevtools.github.io/devtools-protocol/). Python 3's standard library only.

    b = browser.Browser(folder)             # a folder of its own, for all that it writes
    page = b.page(width=1280, height=900)
    page.open("http://127.0.0.1:9464/")
    page.wait("document.title !== ''", "a title")
    b.close()

It looks no name up, so nothing leaves the machine, whatever a page asks for."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time

import harness

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Root has no sandbox to put it into; /dev/shm is small in containers.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--disable-extensions", "--metrics-recording-only", "--mute-audio",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-pipe")


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Trouble(Exception):
    """What the browser answered instead of a result."""


class Browser:
    def __init__(self, folder):
        self.folder, self.buffer, self.last_id, self.pages = folder, b"", 0, {}
        to_read, self.to = os.pipe()
        self.source, to_write = os.pipe()
        # It reads from 3 and writes to 4; ours could be just those, so they are moved away.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_read, to_write)]

        def place():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)
        self.process = subprocess.Popen(
            [find(), *FLAGS, f"--user-data-dir={folder}", "about:blank"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=place,
            start_new_session=True, env={**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder,
                                         "XDG_CACHE_HOME": folder, "TMPDIR": folder})
        for fd in (to_read, to_write, *ends):
            os.close(fd)

    def page(self, width, height, scheme="light"):
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self.pages[session] = Page(self, target, session)
        self.pages[session].look(width, height, scheme)
        return self.pages[session]

    def call(self, method, params=None, session=None):
        sent = self.send(method, params, session)
        deadline = time.monotonic() + harness.PATIENCE_S
        while True:
            answer = self.read(deadline)
            if answer is None:
                raise AssertionError(f"the browser did not answer {method}")
            if answer.get("id") != sent:
                continue
            if "error" in answer:
                raise Trouble(f"{method}: {answer['error']}")
            return answer["result"]

    def send(self, method, params=None, session=None):
        """Does not wait for the answer, which is dropped; its number."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        self.write(json.dumps(message).encode() + b"\0")
        return self.last_id

    def write(self, data):
        while data:
            data = data[os.write(self.to, data):]

    def read(self, deadline):
        """The next message, events of pages given to them; None: none in time."""
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.source], [], [], left)[0]:
                return None
            data = os.read(self.source, 1 << 16)
            if not data:
                raise AssertionError("the browser is gone")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        if message.get("sessionId") in self.pages and "method" in message:
            self.pages[message["sessionId"]].happened(message["method"], message["params"])
        return message

    def close(self):
        """All its processes are gone afterwards: they are a session of their own."""
        try:
            self.call("Browser.close")
            self.process.wait(harness.PATIENCE_S)
        except (AssertionError, OSError, Trouble, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(harness.PATIENCE_S)
        os.close(self.to)
        os.close(self.source)


class Page:
    """A tab. `events` has all that the browser told of it: (method, params)."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.events, self.instead = [], None
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        return self.browser.call(method, params, self.session)

    def happened(self, method, params):
        self.events.append((method, params))
        if method == "Fetch.requestPaused":
            self.instead(params["requestId"])

    def answer_with(self, pattern, body):
        """From now on requests like this get this body (JSON); None: as if nobody listened."""
        def fulfil(request):
            self.browser.send("Fetch.fulfillRequest", {
                "requestId": request, "responseCode": 200, "body": base64.b64encode(body).decode(),
                "responseHeaders": [{"name": "Content-Type", "value": "application/json"}]}, self.session)

        def refuse(request):
            self.browser.send("Fetch.failRequest", {
                "requestId": request, "errorReason": "ConnectionRefused"}, self.session)
        self.instead = refuse if body is None else fulfil
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def answer_truly(self):
        self.call("Fetch.disable")

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})
        del self.browser.pages[self.session]

    def look(self, width, height, scheme="light"):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme},
                            {"name": "prefers-reduced-motion", "value": "reduce"}])

    def open(self, url):
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise Trouble(f"{url}: {answer['errorText']}")

    def eval(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Trouble(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, what):
        return harness.wait_until(lambda: self.eval(expression), what)

    def press(self, key, code):
        """code: the number that Windows has for it."""
        for kind in ("rawKeyDown", "char", "keyUp") if key == "Enter" else ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **({"text": "\r"} if kind == "char" else {}))

    def requested(self):
        """All addresses that it asked for."""
        return [p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"]

    def complaints(self):
        """What stands in the console: errors, warnings, exceptions, and what a policy refused."""
        kept = {"Runtime.exceptionThrown": lambda p: p["exceptionDetails"],
                "Runtime.consoleAPICalled": lambda p: p["args"],
                "Log.entryAdded": lambda p: p["entry"]}
        return [kept[m](p) for m, p in self.events if m in kept]

    def screenshot(self, path, whole=True):
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as f:
            f.write(base64.b64decode(answer["data"]))
