#!/usr/bin/env python3
"""The page for people, in a real browser: headless Chromium."""

import http.client
import json
import re
import signal
import unittest

import browser
import harness

CONFIG = """
admin_http: tcp:127.0.0.1:0
origins:
  api:
    http:
      endpoints: ["%s"]
    deadline: 20s
namespaces:
  - {prefix: "o:", origin: api, path: "/{rest}", ttl: 60s}
"""
THIN = "\u202f"

# Text with less than 4.5 between it and what lies under it (WCAG 2.2, 1.4.3).
FAINT = """(() => {
    const parts = (c) => c.match(/[\\d.]+/g).map(Number);
    const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                           return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor);
                                if (c.length === 3) return c; if (c[3] !== 0) throw new Error("half transparent"); }
                            throw new Error("no ground"); };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), all = [];
    let seen = 0;
    while (walk.nextNode()) {
        const e = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !e.checkVisibility() || /^(SCRIPT|STYLE|OPTION)$/.test(e.tagName)) continue;
        seen++;
        const [a, b] = [light(parts(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) all.push(`${e.tagName}.${e.className} ${walk.currentNode.data} ${(a + 0.05) / (b + 0.05)}`);
    }
    return seen < 60 ? ["too little text: " + seen] : all;
})()"""


@unittest.skipIf(harness.SANITIZER, "sanitizers: the page runs in a browser; test_admin_http.py has what serves it")
@unittest.skipUnless(browser.find(), "no Chromium is installed")
class Page(harness.Case):
    @classmethod
    def setUpClass(cls):
        folder = harness.tempfile.mkdtemp(prefix="pannier-browser-")
        cls.addClassCleanup(harness.shutil.rmtree, folder, ignore_errors=True)
        cls.browser = browser.Browser(folder)
        cls.addClassCleanup(cls.browser.close)

    def begin(self, config=CONFIG):
        self.api = self.origin()
        self.d = self.daemon(config % self.api.url)
        self.d.wait_log("metrics and health on ")
        self.url = "http://" + re.search(r"metrics and health on tcp:(\S+)", self.d.text()).group(1)
        return self.d.client()

    def look(self, width=1280, height=900, scheme="light"):
        """The page, once it shows something."""
        self.page = self.browser.page(width, height, scheme)
        self.addCleanup(self.page.close)
        self.page.open(self.url + "/")
        self.page.wait("typeof past !== 'undefined' && past.last !== undefined && !byId('main').hidden", "numbers")
        return self.page

    def stats(self):
        c = http.client.HTTPConnection(self.url[7:], timeout=harness.PATIENCE_S)
        c.request("GET", "/stats.json")
        doc = json.loads(c.getresponse().read())
        c.close()
        return doc

    def show_all(self):
        """All that was ever counted, as of now."""
        self.page.eval("document.querySelector('input[value=all]').click()")
        self.page.eval("ask()")

    def text(self, element):
        return self.page.eval(f"byId({json.dumps(element)}).textContent").replace(THIN, " ")

    def cell(self, section, row, head, what="textContent"):
        return (self.page.eval(f"""[...document.querySelectorAll('#{section} tbody tr')]
            .find((tr) => tr.dataset.name === {json.dumps(row)})
            ?.querySelector('[data-head={json.dumps(head)}]')?.{what}""") or "").replace(THIN, " ")

    def forge(self, change):
        """The page gets what the daemon answers now, changed, and as if it came later than any
        answer that is under way."""
        doc = self.stats()
        doc["pannier_uptime_seconds"]["values"][0]["value"] += 5
        change(doc)
        self.page.answer_with("*/stats.json", json.dumps(doc).encode())
        self.page.eval("ask()")

    def assert_quiet(self):
        self.assertEqual(self.page.complaints(), [])

    # --- numbers ------------------------------------------------------------------

    def test_it_shows_what_the_daemon_counted(self):
        c = self.begin()
        self.api.on("/1", b"one")
        c("SET", "k", "v" * 100)
        c.pipeline(*[("GET", "k")] * 80 + [("GET", "absent")] * 19)
        c("GET", "o:1")
        self.look()
        self.show_all()
        self.assertEqual(self.text("hit-rate"), "80.0 %")
        self.assertEqual(self.text("hit-rate-more"), "80 hits, 20 misses")
        self.assertEqual(self.cell("namespaces", "default", "Hit rate"), "80.8 %")
        self.assertEqual(self.cell("namespaces", "default", "Hits /s", "title"), "80")
        self.assertEqual(self.cell("namespaces", "default", "Misses /s", "title"), "19")
        self.assertEqual(self.cell("namespaces", "default", "Keys"), "1")
        self.assertEqual(self.cell("namespaces", "o", "Fetches /s", "title"), "1")
        kept = next(v["value"] for v in self.stats()["pannier_namespace_bytes"]["values"] if v["namespace"] == "default")
        self.assertEqual(self.cell("namespaces", "default", "Memory"), f"{kept} B")
        self.assertEqual(self.cell("origins", "api", "Breaker"), "closed")
        self.assertEqual(self.cell("origins", "api", "Endpoints"), "1 of 1")
        self.assertEqual(self.cell("origins", "api", "Requests /s", "title"), "1")
        self.assertEqual(self.cell("latency", "seconds get", "Count"), "100")
        self.assertEqual(self.cell("latency", "fetch_seconds o", "Count"), "1")
        self.assertNotIn(self.cell("namespaces", "o", "Origin saved"), ("", "\u2013"))
        self.assertEqual(self.page.eval("past.last.one.cache_entries"), 2)
        self.assert_quiet()

    def test_the_parts_of_memory_add_up_to_the_limit(self):
        self.begin()
        self.look()
        parts = self.page.eval("memoryParts(past.last.one)")
        limit = self.stats()["pannier_memory_limit_bytes"]["values"][0]["value"]
        self.assertEqual(sum(part[2] for part in parts), limit)
        self.assertIn("Free", [part[1] for part in parts])
        shares = self.page.eval("[...byId('memory-bar').children].map((e) => Number(getComputedStyle(e).flexGrow))")
        self.assertAlmostEqual(sum(shares), 1, 3)
        self.assertEqual(len(shares), len(parts))

    def test_percentiles_are_those_of_the_daemon(self):
        c = self.begin()
        c.pipeline(*[("SET", f"k{n}", "v" * n) for n in range(500)])
        self.look()
        self.show_all()
        told = next(v for v in self.stats()["pannier_command_seconds"]["values"] if v["command"] == "set")
        self.assertEqual(sum(n for _, _, n in told["buckets"]), told["count"])
        for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
            shown = self.page.eval(f"quantile(past.span('all').histogram('command', 'set', 'seconds'), {share})")
            self.assertLess(abs(shown - told[name]), told[name] * 0.07)
        self.assertGreater(self.page.eval("document.querySelectorAll('#latency-chart rect').length"), 0)

    def test_the_hit_rate_moves_with_the_traffic(self):
        c = self.begin()
        c("SET", "k", "v")
        c("GET", "k")
        page = self.look()
        self.assertEqual(self.text("hit-rate"), "\u2013") # one answer alone says nothing of a time
        c("GET", "k")
        page.eval("ask()")
        self.assertEqual(self.text("hit-rate"), "100.0 %")
        c("GET", "absent")
        page.eval("ask()")
        self.assertEqual(self.text("hit-rate"), "50.0 %")
        self.assertNotEqual(self.text("requests"), "0 /s")
        self.assertEqual(page.eval("document.title").replace(THIN, " "), "pannier 50.0 %")

    def test_counters_that_are_reset_go_on(self):
        c = self.begin()
        c("SET", "k", "v")
        c("GET", "k")
        page = self.look()
        c.pipeline(*[("GET", "k")] * 4)
        page.eval("ask()")
        self.assertEqual(self.text("hit-rate-more"), "4 hits, 0 misses")
        c("CONFIG", "RESETSTAT")
        c.pipeline(*[("GET", "k")] * 2)
        page.eval("ask()")
        self.assertEqual(self.text("hit-rate-more"), "6 hits, 0 misses")
        self.assert_quiet()

    def test_numbers_are_written_for_people(self):
        self.begin()
        page = self.look()
        for expression, want in (
                ("show.bytes(0)", "0 B"), ("show.bytes(1023)", "1023 B"), ("show.bytes(1024)", "1.00 KiB"),
                ("show.bytes(1048575)", "1.00 MiB"), ("show.bytes(123456789)", "118 MiB"),
                ("show.rate(0)", "0"), ("show.rate(0.001)", "<0.01"), ("show.rate(0.5)", "0.50"),
                ("show.rate(12.34)", "12.3"), ("show.rate(999)", "999"), ("show.rate(12345)", "12.3 k"),
                ("show.share(0.99999)", "99.9 %"), ("show.share(1)", "100.0 %"), ("show.share(NaN)", "\u2013"),
                ("show.seconds(5e-7)", "500 ns"), ("show.seconds(0.001)", "1.00 ms"), ("show.seconds(2)", "2.00 s"),
                ("show.age(59)", "59 s"), ("show.age(3600)", "1 h"), ("show.age(90061)", "1 d 1 h"),
                ("show.duration(-90)", "\u22121 min 30 s"), ("readable('\\\\xc3\\\\xa4:1')", "\u00e4:1"),
                ("readable('\\\\xff\\\\x00')", "\\xff\\x00"), ("readable('\\\\xe2\\\\x80\\\\xae')", "\\xe2\\x80\\xae")):
            self.assertEqual(page.eval(expression).replace(THIN, " "), want, expression)

    def test_hot_keys_are_shown_where_they_may_be_named(self):
        c = self.begin()
        self.look()
        self.assertTrue(self.page.eval("byId('hot').hidden"))
        c = self.begin("admin_keys: true\n" + CONFIG)
        for _ in range(9):
            c("GET", b"<b>it</b>\0\xff")
        c("GET", "gr\u00f6\u00dfe")
        page = self.look()
        page.eval("ask()")
        rows = page.eval("""[...document.querySelectorAll('#hot tbody tr')].map((tr) =>
            [tr.cells[0].textContent, tr.cells[1].textContent, tr.cells[3].textContent])""")
        self.assertEqual(rows, [["<b>it</b>\\x00\\xff", "default", f"90.0{THIN}%"],
                                ["gr\u00f6\u00dfe", "default", f"10.0{THIN}%"]])
        self.assert_quiet()

    # --- what must not happen ---------------------------------------------------------

    def test_a_hostile_name_is_text(self):
        self.begin()
        page = self.look(360)
        bad = "<img src=http://evil.example/x onerror=alert(1)></script><script>alert(2)</script>" + "w" * 200

        def change(doc):
            for family in doc.values():
                for value in family.get("values", []) if isinstance(family, dict) else []:
                    for label in {"namespace", "origin"} & set(value):
                        value[label] = bad
            doc["pannier_origin_breaker_state"]["values"][0]["value"] = 1
            doc["hot_keys"] = [{"key": bad, "namespace": bad, "reads_per_second": 7, "error": 1, "share": 0.5}]
            point = {"factor": 1, "bytes": 1 << 20, "hit_ratio": 0.5, "misses_saved_per_hour": 0}
            doc["advice"] = [{"namespace": bad, "bytes": 1 << 20, "hit_ratio": 0.5, "sampled_reads": 999,
                              "enough": True, "curve": [point, {**point, "factor": 2, "bytes": 1 << 21}]}]
        self.forge(change)
        shown = page.eval("""['namespaces', 'origins', 'hot'].map((id) =>
            document.querySelector(`#${id} tbody th`).textContent)""")
        self.assertEqual(shown, [bad] * 3)
        self.assertIn(bad, self.text("notices"))
        self.assertEqual(page.eval("byId('advice-of').textContent"), bad)
        self.assertEqual(page.eval("document.scripts.length"), 4)
        self.assertEqual(page.eval("document.querySelectorAll('img, iframe, object').length"), 0)
        self.assertEqual(page.eval("document.documentElement.scrollWidth"), 360)
        self.assert_quiet()

    def test_nothing_else_is_asked_for(self):
        self.begin()
        page = self.look()
        page.eval("ask()")
        asked = {url for url in page.requested() if not url.startswith("data:")}
        self.assertEqual(asked, {self.url + "/", self.url + "/stats.json"})
        self.assert_quiet()

    def test_what_gets_into_it_is_not_run(self):
        self.begin()
        page = self.look()
        page.eval("""(() => { const s = document.createElement('script'); s.append("window.evil = 1");
            try { document.body.append(s); } catch { } })()""")
        page.eval("try { document.body.innerHTML = '<b onclick=1>'; } catch { }")
        page.eval("fetch('http://127.0.0.1:1/').catch(() => null)")
        self.assertIsNone(page.eval("window.evil ?? null"))
        self.assertFalse(page.eval("byId('main') === null"))
        self.assertTrue(any("Content Security Policy" in str(c) for c in page.complaints()))

    # --- how it looks -------------------------------------------------------------------

    def full(self, scheme="light"):
        """With something in each of its parts."""
        c = self.begin()
        c("SET", "k", "v")
        c("GET", "k")
        self.look(scheme=scheme)

        def change(doc):
            doc["hot_keys"] = [{"key": f"user:{n}" * 20, "namespace": "default", "reads_per_second": 12345,
                                "error": 1, "share": 0.5} for n in range(10)]
            curve = [{"factor": 2.0 ** n, "bytes": 1 << (27 + n), "hit_ratio": 0.5 + n / 20,
                      "misses_saved_per_hour": 1e7 * n, "origin_ms_saved_per_hour": 1e8 * n} for n in range(-2, 4)]
            for which in ("wait", "fetch"):
                doc[f"pannier_namespace_{which}_seconds"]["values"] = [
                    {"namespace": "a-namespace-with-quite-a-long-name", "buckets": [[0.0111, 0.0112, 123456]]}]
            doc["advice"] = [{"namespace": None, "bytes": 1 << 27, "hit_ratio": 0.5, "sampled_reads": 9999,
                              "enough": True, "curve": curve}]
            doc["pannier_origin_breaker_state"]["values"][0]["value"] = 1
            doc["pannier_draining"]["values"][0]["value"] = 1
            for name, value in (("connected", 0), ("messages", 7), ("malformed", 0), ("gaps", 1)):
                doc["pannier_stream_" + name] = {"type": "gauge", "values": [{"stream": "prices", "value": value}]}
        self.forge(change)
        return self.page

    def test_no_width_needs_scrolling_sideways(self):
        page = self.full()
        for width in (320, 360, 600, 1000, 1121, 1280):
            page.look(width, 800)
            self.assertEqual(page.eval("[innerWidth, document.documentElement.scrollWidth]"), [width, width])
            self.assertEqual(page.eval("""[...document.querySelectorAll('table')]
                .filter((t) => t.offsetWidth > t.parentElement.clientWidth).map((t) => t.caption.textContent)"""), [])
        self.assertEqual(page.eval("document.querySelectorAll('section:not([hidden])').length"), 7)
        self.assert_quiet()

    def test_text_can_be_read_in_both_schemes(self):
        page = self.full()
        grounds = set()
        for scheme in ("light", "dark"):
            for width in (360, 1280):
                page.look(width, 900, scheme)
                self.assertEqual(page.eval(FAINT), [], (scheme, width))
            grounds.add(page.eval("getComputedStyle(document.documentElement).backgroundColor"))
        self.assertEqual(len(grounds), 2)
        page.answer_with("*/stats.json", None)
        page.eval("ask()")
        self.assertFalse(page.eval("byId('lost').hidden"))
        self.assertEqual(page.eval(FAINT), [])

    def test_it_is_told_to_who_does_not_see_it(self):
        page = self.full()
        self.assertEqual(page.eval("document.documentElement.lang"), "en")
        self.assertEqual(page.eval("document.querySelectorAll('h1').length"), 1)
        for claim in ("[...document.querySelectorAll('table')].every((t) => t.caption.textContent.length > 9)",
                      "[...document.querySelectorAll('th')].every((th) => th.scope && th.getAttribute('role'))",
                      "[...document.querySelectorAll('section')].every((s) => s.getAttribute('aria-labelledby'))",
                      "[...document.querySelectorAll('svg')].every((s) => s.getAttribute('aria-hidden') === 'true')",
                      "[...document.querySelectorAll('[role=img]')].every((e) => e.getAttribute('aria-label').length > 9)",
                      "[...document.querySelectorAll('select')].every((e) => e.labels.length === 1)"):
            self.assertTrue(page.eval(claim), claim)

    def test_the_window_is_chosen_by_keyboard(self):
        self.begin()
        page = self.look()
        page.press("Tab", 9)
        self.assertEqual(page.eval("document.activeElement.value"), "60")
        page.press("ArrowRight", 39)
        self.assertEqual(page.eval("chosenWindow()"), 300)

    # --- when it is not as it should be ----------------------------------------------------

    def test_a_lost_connection_is_told_and_mended(self):
        self.begin()
        page = self.look()
        page.answer_with("*/stats.json", None)
        page.eval("ask()")
        self.assertFalse(page.eval("byId('lost').hidden"))
        self.assertIn("The daemon does not answer.", self.text("lost"))
        self.assertEqual(self.text("state"), "Connection lost")
        page.answer_truly()
        page.eval("byId('retry').focus()")
        page.press("Enter", 13)
        page.wait("byId('lost').hidden", "the connection again")
        self.assertEqual(self.text("state"), "Live")

    def test_it_tries_again_by_itself(self):
        self.begin()
        page = self.look()
        self.d.kill()
        page.wait("!byId('lost').hidden", "the loss of the connection")
        page.wait("poll.failures > 1", "a second try")
        self.assertTrue(page.eval("byId('main').checkVisibility()")) # the last numbers stay

    def test_another_process_begins_anew(self):
        self.begin()
        page = self.look()

        def change(doc):
            doc["pannier_start_time_seconds"]["values"][0]["value"] += 1000
            doc["pannier_uptime_seconds"]["values"][0]["value"] = 0.5
        self.forge(change)
        self.assertEqual(page.eval("past.snapshots.length"), 1)
        self.assertEqual(self.text("state"), "Live, started anew")

    def test_something_else_that_answers_is_no_daemon(self):
        self.begin()
        page = self.look()
        for body in (b"{}", b"<html>"):
            page.answer_with("*/stats.json", body)
            page.eval("ask()")
            self.assertIn("Something else answers.", self.text("lost"))
        self.assert_quiet()

    def test_who_does_not_look_does_not_ask(self):
        self.begin()
        page = self.look()
        turn = """Object.defineProperty(document, 'hidden', { value: %s, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'))"""
        page.eval(turn % "true")
        self.assertEqual(page.eval("poll.timer"), 0)
        self.assertEqual(self.text("state"), "Paused")
        page.eval(turn % "false")
        page.wait("byId('state').textContent === 'Live'", "an answer")
        self.assertNotEqual(page.eval("poll.timer"), 0)
        self.assert_quiet()

    def test_large_answers_are_asked_for_less_often(self):
        self.begin()
        page = self.look()
        self.assertEqual(page.eval("poll.bytes = 99999, pause()"), 2000)
        self.assertEqual(page.eval("poll.bytes = 700000, pause()"), 14000)

    def test_draining_is_told(self):
        c = self.begin()
        gate = self.api.hold("/slow", b"late")
        self.addCleanup(gate.open)
        page = self.look()
        c.send("GET", "o:slow")
        self.api.wait_requests(1)
        self.d.signal(signal.SIGTERM)
        page.wait("byId('state').textContent === 'Draining'", "the state of draining")
        self.assertIn("Draining: a stop waits for requests under way.", self.text("notices"))
        gate.open()
        self.assertEqual(self.d.wait(), 0)

    def test_what_somebody_should_know_is_said(self):
        self.begin()
        page = self.look()
        self.assertEqual(self.text("notices"), "")

        def change(doc):
            doc["pannier_origin_breaker_state"]["values"][0]["value"] = 1
            doc["pannier_oom_errors"]["values"][0]["value"] += 3
            doc["pannier_pressure_looks"]["values"][0]["value"] += 2
        self.forge(change)
        said = page.eval("[...byId('notices').children].map((li) => [li.className, li.textContent])")
        self.assertEqual([kind for kind, _ in said], ["bad", "bad", "warn"])
        self.assertRegex(said[0][1], "Origin api: its circuit breaker is open")
        self.assertRegex(said[1][1], r"Commands refused for lack of memory in the last [^:]+: 3\.")
        self.assertEqual(self.cell("origins", "api", "Breaker"), "open")


if __name__ == "__main__":
    harness.main()
