/* view.js - each part of the page from a span of history. What comes from the daemon gets into
 * the page as text alone, never as markup. */
"use strict";

const byId = (id) => document.getElementById(id);

function setText(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

function make(name, attributes = {}, ...children) {
	const element = document.createElement(name);

	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	element.append(...children);
	return element;
}

/* --- tables ------------------------------------------------------------------------------ */

/* On a phone a row becomes a card, for which CSS takes the roles of a table away; so they are
 * written down. */
class Table {
	/* columns: [{ head, minor, word, cell(row) -> text or { text, title, kind, bar } }], the first one
	 * names the row; minor ones are left out where a phone has no room; words stand on the left.
	 * `few`: so many rows until the button is pressed. */
	constructor(section, caption, columns, few = Infinity) {
		this.columns = columns;
		this.few = few;
		this.button = section.querySelector("button.more");
		this.button?.addEventListener("click", () => {
			this.few = Infinity;
			this.fill(this.rows);
		});
		this.body = make("tbody", { role: "rowgroup" });
		section.querySelector(".table").append(make("table", { role: "table" },
		    make("caption", {}, caption),
		    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...columns.map(({ head, minor, word }) =>
		        make("th", { scope: "col", role: "columnheader",
		            class: (minor ? "minor " : "") + (word ? "word" : "") }, head)))),
		    this.body));
	}

	/* rows: anything with a `name`. */
	fill(rows) {
		const shown = rows.length > this.few + 1 ? rows.slice(0, this.few) : rows;

		this.rows = rows;
		while (this.body.rows.length > shown.length)
			this.body.lastChild.remove();
		while (this.body.rows.length < shown.length)
			this.body.append(this.emptyRow());
		shown.forEach((row, i) => this.fillRow(this.body.rows[i], row));
		if (this.button) {
			this.button.hidden = shown.length === rows.length;
			setText(this.button, `Show all ${rows.length}`);
		}
	}

	emptyRow() {
		return make("tr", { role: "row" }, ...this.columns.map(({ head }, i) => i === 0 ?
		    make("th", { scope: "row", role: "rowheader" }) :
		    make("td", { role: "cell", "data-head": head })));
	}

	fillRow(tr, row) {
		tr.dataset.name = row.name;
		this.columns.forEach(({ cell, minor }, i) => {
			const value = cell(row), { text, title = "", kind = "", bar } =
			    typeof value === "object" ? value : { text: value };
			const td = tr.cells[i];

			setText(td, text);
			td.title = title;
			td.className = (text === "0" || text === NOTHING ? "none" : kind) + (minor ? " minor" : "");
			td.style.setProperty("--share", bar === undefined ? "" : bar.toFixed(3));
		});
	}
}

const named = (row) => ({ text: readable(row.name), title: readable(row.name), kind: "name" });

/* --- what there is at a glance ----------------------------------------------------------------- */

function showTile(id, big, more, points, top) {
	setText(byId(id), big);
	setText(byId(`${id}-more`), more);
	drawSpark(byId(`${id}-spark`), points, top);
}

function showTiles(span, history) {
	const { one } = span.to;
	const hits = span.goneOfAll("namespace", "hits"), misses = span.goneOfAll("namespace", "misses");
	const times = span.commandHistogram();
	const all = (counter) => (s) => s.goneOfAll("namespace", counter) / s.seconds;
	const perSecond = (n) => show.rate(n) + (Number.isFinite(n) ? `${THIN}/s` : "");

	showTile("hit-rate", show.share(span.hitRate()),
	    `${show.count(hits)} hits, ${show.count(misses)} misses`, history.series((s) => s.hitRate()), 1);
	showTile("requests", perSecond(span.rate("commands_processed")),
	    `${show.count(one.clients)} clients, ${show.count(one.requests_waiting)} requests wait`,
	    history.series((s) => s.rate("commands_processed")));
	showTile("p99", show.seconds(quantile(times, 0.99)),
	    `p50 ${show.seconds(quantile(times, 0.5))}, p99.9 ${show.seconds(quantile(times, 0.999))}`,
	    history.series((s) => quantile(s.commandHistogram(), 0.99)));
	showTile("memory", show.share(one.memory_resident_bytes / one.memory_limit_bytes),
	    `${show.bytes(one.memory_resident_bytes)} of ${round(show.bytes(one.memory_limit_bytes))}`,
	    history.series((s) => s.to.one.memory_resident_bytes / s.to.one.memory_limit_bytes), 1);
	showTile("evicted", perSecond(all("evicted")(span)),
	    `${show.count(one.cache_entries)} keys are there`, history.series(all("evicted")));
	showTile("expired", perSecond(all("expired")(span)),
	    `${perSecond(all("stored")(span))} stored`, history.series(all("expired")));
}

/* --- namespaces ------------------------------------------------------------------------------------ */

class Namespaces {
	constructor() {
		const rate = (head, counter) => ({ head,
			cell: (row) => ({ text: show.rate(row.rate(counter)), title: show.count(row.gone(counter)) }) });

		this.table = new Table(byId("namespaces"), "By namespace: hit rate, rates a second, keys and memory", [
			{ head: "Namespace", cell: named },
			{ head: "Hit rate", cell: (row) => ({ text: show.share(row.hitRate), bar: row.hitRate || 0, kind: "bar",
				title: `${show.count(row.gone("hits"))} hits, ${show.count(row.gone("misses"))} misses` }) },
			rate("Hits /s", "hits"),
			rate("Misses /s", "misses"),
			rate("Fetches /s", "fetches"),
			rate("Coalesced /s", "coalesced"),
			{ head: "Stale /s", cell: (row) => show.rate(row.rate("stale_served") +
				row.rate("stale_refreshing") + row.rate("stale_on_error")) },
			rate("Stored /s", "stored"),
			rate("Evicted /s", "evicted"),
			rate("Expired /s", "expired"),
			{ head: "Origin saved", cell: (row) => ({ text: show.duration(row.saved),
				title: "Time that the origin would have taken for what was answered without it" }) },
			{ head: "Keys", cell: (row) => show.count(row.entries) },
			{ head: "Memory", cell: (row) => ({ text: show.bytes(row.bytes), title: `${show.count(row.bytes)} bytes` }) },
		], 12);
	}

	/* Those that are read most come first: ever, so that rows do not jump about. */
	show(span) {
		const reads = (row) => row.hits + row.misses;
		const rows = [...span.to.namespace.values()].sort((a, b) => reads(b) - reads(a) || b.entries - a.entries);

		this.table.fill(rows.map((row) => ({ name: row.name, entries: row.entries, bytes: row.bytes,
			hitRate: span.hitRate(row.name),
			saved: span.goneOf("namespace", row.name, "origin_saved_seconds"),
			gone: (counter) => span.goneOf("namespace", row.name, counter),
			rate: (counter) => span.goneOf("namespace", row.name, counter) / span.seconds })));
	}
}

/* --- origins and streams ------------------------------------------------------------------------------ */

const BREAKER = [["closed", "good"], ["open", "bad"], ["half-open", "warn"]];

class Origins {
	constructor() {
		this.table = new Table(byId("origins"), "By origin: circuit breaker, endpoints, load, failures and latency", [
			{ head: "Origin", cell: named },
			{ head: "Breaker", cell: ({ row }) => {
				const [text, kind] = BREAKER[row.breaker_state] ?? [NOTHING, ""];
				return { text, kind: `state ${kind}` };
			} },
			{ head: "Endpoints", cell: ({ row }) => ({ text: `${row.endpoints - row.endpoints_out} of ${row.endpoints}`,
				kind: row.endpoints_out > 0 ? "state warn" : "" }) },
			{ head: "Requests /s", cell: (r) => ({ text: show.rate(r.rate("requests")), title: show.count(r.gone("requests")) }) },
			{ head: "Failed", cell: (r) => ({ text: show.share(r.gone("errors") / r.gone("requests")),
				kind: r.gone("errors") > 0 ? "state bad" : "", title: `${show.count(r.gone("errors"))} failed, of these ` +
				`${show.count(r.gone("timeouts"))} by their deadline` }) },
			{ head: "p50", cell: (r) => show.seconds(quantile(r.times, 0.5)) },
			{ head: "p99", cell: (r) => show.seconds(quantile(r.times, 0.99)) },
			{ head: "Under way", cell: ({ row }) => ({ text: show.count(row.in_flight),
				title: row.concurrency_limit > 0 ? `at most ${row.concurrency_limit}` : "" }) },
			{ head: "Queued", cell: ({ row }) => show.count(row.queued) },
			{ head: "Retries /s", cell: (r) => show.rate(r.rate("retries")) },
			{ head: "Refused /s", cell: (r) => ({ text: show.rate(r.rate("refused")),
				title: "Fetches for which nothing was sent: the guard let nothing pass" }) },
			{ head: "To write", cell: ({ row }) => ({ text: show.count(row.write_queue_entries),
				title: "Writes behind that are still to be carried out" }) },
		]);
	}

	show(span) {
		byId("origins").hidden = span.to.origin.size === 0;
		this.table.fill([...span.to.origin.values()].map((row) => ({ name: row.name, row,
			times: span.histogram("origin", row.name, "latency_seconds"),
			gone: (counter) => span.goneOf("origin", row.name, counter),
			rate: (counter) => span.goneOf("origin", row.name, counter) / span.seconds })));
	}
}

class Streams {
	constructor() {
		this.table = new Table(byId("streams"), "By stream of invalidations: connection and messages", [
			{ head: "Stream", cell: named },
			{ head: "Broker", cell: ({ row }) => row.connected ? { text: "connected", kind: "state good" } :
				{ text: "not connected", kind: "state bad" } },
			{ head: "Messages /s", cell: (r) => show.rate(r.gone("messages") / r.seconds) },
			{ head: "Malformed", cell: (r) => show.count(r.gone("malformed")) },
			{ head: "Gaps", cell: (r) => show.count(r.gone("gaps")) },
		]);
	}

	show(span) {
		byId("streams").hidden = span.to.stream.size === 0;
		this.table.fill([...span.to.stream.values()].map((row) => ({ name: row.name, row, seconds: span.seconds,
			gone: (counter) => span.goneOf("stream", row.name, counter) })));
	}
}

/* --- memory ------------------------------------------------------------------------------------------- */

/* What the resident memory is made of, then what is left of the limit. */
function memoryParts(one) {
	const used = one.cache_used_bytes, known = one.cache_live_bytes + one.cache_dead_bytes + one.cache_table_bytes;
	const heap = one.memory_heap_bytes, buffers = one.memory_clients_bytes;
	const parts = [
		["live", "Live entries", one.cache_live_bytes],
		["dead", "Dead, to be cleaned", one.cache_dead_bytes],
		["tables", "Tables", one.cache_table_bytes],
		["rooms", "Room in segments", Math.max(used - known, 0)],
		["buffers", "Buffers of clients", buffers],
		["process", "Rest of the process", Math.max(heap - buffers, 0) +
			Math.max(one.memory_resident_bytes - used - heap, 0)],
	];
	const sum = parts.reduce((n, [, , bytes]) => n + bytes, 0);

	return [...parts, ["free", "Free", Math.max(one.memory_limit_bytes - sum, 0)]];
}

function legendItem([kind, name]) {
	return make("li", {}, make("i", { class: kind, "aria-hidden": "true" }), make("span", {}, name), make("b"));
}

function showMemory({ to: { one } }) {
	const bar = byId("memory-bar"), legend = byId("memory-legend"), parts = memoryParts(one);
	const all = parts.reduce((n, [, , bytes]) => n + bytes, 0);

	if (legend.children.length === 0) {
		legend.append(...parts.map(legendItem));
		bar.append(...parts.map(([kind]) => make("i", { class: kind })));
	}
	parts.forEach(([, name, bytes], i) => {
		const text = show.bytes(bytes);

		bar.children[i].style.flexGrow = (bytes / all).toFixed(5);
		bar.children[i].title = `${name}: ${text}`;
		setText(legend.children[i].lastChild, text);
	});
	bar.setAttribute("aria-label", "Of the limit of " + round(show.bytes(one.memory_limit_bytes)) + ": " +
	    parts.map(([, name, bytes]) => `${name.toLowerCase()} ${show.bytes(bytes)}`).join(", "));
	setText(byId("memory-note"), `The cache may use ${show.bytes(one.cache_budget_bytes)} of the limit of ` +
	    `${round(show.bytes(one.memory_limit_bytes))} and uses ${show.bytes(one.cache_used_bytes)}, for ` +
	    `${show.bytes(one.cache_user_bytes)} of keys and values. The kernel counts ` +
	    `${show.bytes(one.memory_resident_bytes)} as resident.`);
}

/* --- a choice of rows --------------------------------------------------------------------------------- */

/* Keeps what was chosen while options come and go. options: [value, text]. */
function offer(select, options) {
	const have = [...select.options].map((o) => o.value).join("\n"), chosen = select.value;

	if (have === options.map(([value]) => value).join("\n"))
		return;
	select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
	if (options.some(([value]) => value === chosen))
		select.value = chosen;
}

/* --- latency -------------------------------------------------------------------------------------------- */

class Latency {
	constructor() {
		const time = (head, share, minor) => ({ head, minor, cell: (row) => show.seconds(quantile(row.steps, share)) });

		this.table = new Table(byId("latency"), "Latency of commands and origins: counts and percentiles", [
			{ head: "Of", cell: (row) => ({ text: row.text, title: row.text, kind: "name" }) },
			{ head: "Count", minor: true, cell: (row) => show.count(row.calls) },
			time("p50", 0.5), time("p90", 0.9, true), time("p99", 0.99), time("p99.9", 0.999, true),
			time("Most", 1),
		], 10);
		byId("latency-of").addEventListener("change", () => this.draw());
	}

	/* All commands, what comes from elsewhere, single commands, and those by namespace. */
	show(span) {
		const of = (label, name, family, text, counter) => {
			const steps = span.histogram(label, name, family);
			return { name: `${family} ${name}`, text, steps,
				calls: counter ? span.goneOf(label, name, counter) : total(steps),
				ever: span.ever(label, name, family) };
		};
		const names = [...span.to.namespace.keys()];
		const commands = [...span.to.command.values()].sort((a, b) => b.commands - a.commands);

		this.rows = [
			{ name: "all", text: "all commands", calls: span.gone("commands_processed"),
				steps: span.commandHistogram(), ever: true },
			...[...span.to.origin.keys()].map((name) => of("origin", name, "latency_seconds", `origin ${readable(name)}`, "requests")),
			...names.map((name) => of("namespace", name, "fetch_seconds", `fetches of ${readable(name)}`)),
			...names.map((name) => of("namespace", name, "wait_seconds", `waits in ${readable(name)}`)),
			...commands.map(({ name }) => of("command", name, "seconds", name.toUpperCase(), "commands")),
			...names.map((name) => of("namespace", name, "command_seconds", `commands in ${readable(name)}`)),
			of(undefined, "loops", "loop_lag_seconds", "turns of loops"),
		].filter(({ ever }) => ever);
		this.table.fill(this.rows.filter((row, i) => i === 0 || row.calls > 0));
		offer(byId("latency-of"), this.rows.map(({ name, text }) => [name, text]));
		this.draw();
	}

	draw() {
		const { text, steps, calls } = this.rows.find(({ name }) => name === byId("latency-of").value) ?? this.rows[0];
		const marks = [["p50", quantile(steps, 0.5)], ["p99", quantile(steps, 0.99)]];

		drawHistogram(byId("latency-chart"), steps, marks);
		byId("latency-chart").setAttribute("aria-label", steps.length === 0 ? `Histogram of ${text}: nothing was timed` :
		    `Histogram of ${text}, ${show.count(calls)} calls: ` +
		    marks.map(([name, seconds]) => `${name} ${show.seconds(seconds)}`).join(", "));
	}
}

/* --- hot keys ------------------------------------------------------------------------------------------ */

/* Only where the configuration lets the daemon name keys. */
class HotKeys {
	constructor() {
		this.table = new Table(byId("hot"), "Keys that are read most", [
			{ head: "Key", cell: ({ key }) => ({ text: readable(key), title: readable(key), kind: "name key" }) },
			{ head: "Namespace", minor: true, word: true, cell: ({ namespace }) => ({ text: readable(namespace), kind: "word" }) },
			{ head: "Reads /s", cell: (k) => ({ text: show.rate(k.reads_per_second),
				title: `give or take ${show.rate(k.error)}` }) },
			{ head: "Of all reads", cell: ({ share, most }) => ({ text: show.share(share), bar: share / most,
				kind: "bar" }) },
		]);
	}

	show(span) {
		const keys = Array.isArray(span.to.hotKeys) ? span.to.hotKeys : [];

		byId("hot").hidden = keys.length === 0;
		this.table.fill(keys.map((key) => ({ ...key, name: key.key, most: Math.max(keys[0].share, 1e-9) })));
	}
}

/* --- advice ------------------------------------------------------------------------------------------------ */

class Advice {
	constructor() {
		this.table = new Table(byId("advice"), "Hit rate with less and with more memory", [
			{ head: "Memory", cell: (p) => ({ text: round(show.bytes(p.bytes)), kind: p.factor === 1 ? "name now" : "name" }) },
			{ head: "Times", cell: (p) => `${p.factor}` },
			{ head: "Hit rate", cell: (p) => ({ text: show.share(p.hit_ratio), bar: p.hit_ratio, kind: "bar" }) },
			{ head: "Misses saved /h", minor: true, cell: (p) => show.count(p.misses_saved_per_hour) },
			{ head: "Origin time saved /h", cell: (p) => p.origin_ms_saved_per_hour === undefined ? NOTHING :
				show.duration(p.origin_ms_saved_per_hour / 1e3) },
		]);
		byId("advice-of").addEventListener("change", () => this.draw());
	}

	show(span) {
		this.curves = (Array.isArray(span.to.advice) ? span.to.advice : []).filter((a) => a.enough && a.curve.length > 1);
		byId("advice").hidden = this.curves.length === 0;
		if (this.curves.length === 0)
			return;
		offer(byId("advice-of"), this.curves.map((a) => [keyOf(a), a.namespace === null ? "everything" : readable(a.namespace)]));
		this.draw();
	}

	draw() {
		const a = this.curves.find((x) => keyOf(x) === byId("advice-of").value) ?? this.curves[0];
		const twice = a.curve.find((p) => p.factor === 2), half = a.curve.find((p) => p.factor === 0.5);
		const say = (p, how) => p && `${how} the memory: ${show.share(p.hit_ratio)}.`;

		drawCurve(byId("advice-chart"), a.curve.map((p) => [p.bytes, p.hit_ratio]), a.bytes);
		const text = [`Now, with ${round(show.bytes(a.bytes))}: ${show.share(a.hit_ratio)}.`, say(twice, "Twice"), say(half, "Half")]
		    .filter(Boolean).join(" ");
		byId("advice-chart").setAttribute("aria-label", `Hit rate by memory. ${text}`);
		setText(byId("advice-note"), `${text} Learnt from ${show.count(a.sampled_reads)} sampled reads.`);
		this.table.fill(a.curve.filter((p) => Number.isInteger(Math.log2(p.factor)))
		    .map((p) => ({ ...p, name: String(p.factor) })));
	}
}

const keyOf = (a) => a.namespace === null ? "all" : `ns ${a.namespace}`;

/* --- what somebody should know ------------------------------------------------------------------------------- */

/* [how bad, sentence], the worst first. */
function noticesOf(span) {
	const { one } = span.to, all = [], few = `in the last ${show.age(Math.max(span.seconds, 1))}`;
	const counted = (kind, n, say) => n > 0 && all.push([kind, say(show.count(n))]);

	if (one.draining)
		all.push(["warn", "Draining: a stop waits for requests under way. No new client is served."]);
	for (const row of span.to.origin.values())
		if (row.breaker_state === 1)
			all.push(["bad", `Origin ${readable(row.name)}: its circuit breaker is open, nothing is sent to it.`]);
	for (const row of span.to.stream.values())
		if (!row.connected)
			all.push(["bad", `Stream ${readable(row.name)}: no connection to its broker, invalidations may be missed.`]);
	if (one.memory_resident_bytes > one.memory_limit_bytes)
		all.push(["bad", `Memory is over its limit: ${show.bytes(one.memory_resident_bytes)} resident.`]);
	counted("bad", span.gone("oom_errors"), (n) => `Commands refused for lack of memory ${few}: ${n}.`);
	counted("bad", span.goneOfAll("namespace", "writes_lost"), (n) => `Writes behind given up ${few}: ${n}.`);
	counted("warn", span.gone("pressure_looks"), (n) => `Memory was short around the process for ${n}${THIN}s ${few}; ` +
	    `the cache gave way ${show.count(span.gone("pressure_steps"))} times.`);
	counted("warn", span.goneOfAll("namespace", "put_refused"), (n) => `Values refused for lack of room ${few}: ${n}.`);
	counted("warn", span.gone("rejected_connections"), (n) => `Connections refused ${few}, because of max_clients: ${n}.`);
	return all;
}

function showNotices(span) {
	const list = byId("notices"), notices = noticesOf(span);

	while (list.children.length > notices.length)
		list.lastChild.remove();
	while (list.children.length < notices.length)
		list.append(make("li"));
	notices.forEach(([kind, text], i) => {
		list.children[i].className = kind;
		setText(list.children[i], text);
	});
}
