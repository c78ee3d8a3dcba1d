/* data.js - from the answers of /stats.json to numbers. Nothing here touches the page. */
"use strict";

const PREFIX = "pannier_";
const LABELS = ["namespace", "origin", "stream", "command"];
const KEEP_S = 330; /* of history: a little more than the longest window */

/* --- history: counters that never go back -------------------------------------------- */

/* CONFIG RESETSTAT sets counters to 0. Each is therefore followed from answer to answer and
 * what it went on by is added up; one that went back began anew, and all it has is new. */
class History {
	constructor() {
		this.clear();
	}

	clear() {
		this.raw = new Map();
		this.total = new Map();
		this.snapshots = [];
	}

	get last() {
		return this.snapshots[this.snapshots.length - 1];
	}

	/* One answer, as JSON has it. True: another process gave it than the one before. */
	add(doc) {
		const up = single(doc, "uptime_seconds"), started = single(doc, "start_time_seconds");
		const anew = this.last !== undefined && (up < this.last.up || started !== this.last.started);

		if (anew)
			this.clear();
		if (this.last !== undefined && up === this.last.up)
			this.snapshots.pop();
		this.snapshots.push(this.digest(doc, up, started));
		while (up - this.snapshots[0].up > KEEP_S)
			this.snapshots.shift();
		return anew;
	}

	digest(doc, up, started) {
		const snapshot = { up, started, one: {}, version: "", hotKeys: doc.hot_keys, advice: doc.advice };

		for (const label of LABELS)
			snapshot[label] = new Map();
		for (const [name, family] of Object.entries(doc))
			if (name.startsWith(PREFIX) && Array.isArray(family.values))
				this.digestFamily(snapshot, name.slice(PREFIX.length), family);
		return snapshot;
	}

	/* Values without a label, and those with one that there are tables of. */
	digestFamily(snapshot, name, family) {
		for (const value of family.values) {
			const [label, another] = Object.keys(value).filter((key) => typeof value[key] === "string");

			if (name === "info")
				snapshot.version = value.version;
			else if (label === undefined)
				snapshot.one[name] = this.value(name, family.type, value);
			else if (another === undefined && LABELS.includes(label))
				row(snapshot[label], value[label])[name.replace(`${label}_`, "")] =
				    this.value(`${name} ${value[label]}`, family.type, value);
		}
	}

	value(id, type, value) {
		switch (type) {
		case "counter":
			return this.count(id, value.value);
		case "histogram":
			return this.countBuckets(id, value);
		default:
			return value.value;
		}
	}

	count(id, n) {
		const before = this.raw.get(id) ?? 0;
		const total = (this.total.get(id) ?? 0) + (n >= before ? n - before : n);

		this.raw.set(id, n);
		this.total.set(id, total);
		return total;
	}

	/* Map of [from, below, n] by where they begin. A histogram goes back as a whole. */
	countBuckets(id, { buckets = [] }) {
		const now = new Map(buckets.map((step) => [step[0], step]));
		const before = this.raw.get(id) ?? new Map(), all = new Map(this.total.get(id));
		const back = [...before].some(([from, step]) => countIn(now, from) < step[2]);

		for (const [from, [, below, n]] of now)
			all.set(from, [from, below, countIn(all, from) + n - (back ? 0 : countIn(before, from))]);
		this.raw.set(id, now);
		this.total.set(id, all);
		return all;
	}

	/* What the averages are over: from an earlier snapshot to the last. "all": since the
	 * start. null: there is nothing yet to compare with. */
	span(seconds) {
		const to = this.last, all = this.snapshots;

		if (to === undefined)
			return null;
		if (seconds === "all")
			return new Span(emptySnapshot(to), to);
		for (let i = all.length - 2; i >= 0; i--) {
			const age = to.up - all[i].up;
			if (age < seconds && i > 0)
				continue;
			/* Nobody looked for a while: that is not what was asked for. */
			if (age > seconds * 1.5 + 30)
				return i + 2 < all.length ? new Span(all[i + 1], to) : null;
			return new Span(all[i], to);
		}
		return null;
	}

	/* One number for each step between two snapshots: [seconds before now, number].
	 * A number of NaN, and a time in which nobody looked, is a gap. */
	series(of) {
		const all = this.snapshots, points = [];

		for (let i = 1; i < all.length; i++) {
			const gone = all[i].up - all[i - 1].up;
			points.push([this.last.up - all[i].up, gone > 60 ? NaN : of(new Span(all[i - 1], all[i]))]);
		}
		return points;
	}
}

function single(doc, name) {
	return doc[PREFIX + name]?.values?.[0]?.value ?? 0;
}

function row(map, name) {
	if (!map.has(name))
		map.set(name, { name });
	return map.get(name);
}

function emptySnapshot(like) {
	const empty = { up: 0, started: like.started, one: {} };

	for (const label of LABELS)
		empty[label] = new Map();
	return empty;
}

/* --- the time between two snapshots ---------------------------------------------------- */

class Span {
	constructor(from, to) {
		this.from = from;
		this.to = to;
		this.seconds = Math.max(to.up - from.up, 1e-3);
	}

	/* How far a counter went; what was not there before began at 0. */
	gone(counter) {
		return (this.to.one[counter] ?? 0) - (this.from.one[counter] ?? 0);
	}

	rate(counter) {
		return this.gone(counter) / this.seconds;
	}

	goneOf(label, name, counter) {
		return (this.to[label].get(name)?.[counter] ?? 0) - (this.from[label].get(name)?.[counter] ?? 0);
	}

	/* Over all rows with that label. */
	goneOfAll(label, counter) {
		let sum = 0;

		for (const name of this.to[label].keys())
			sum += this.goneOf(label, name, counter);
		return sum;
	}

	hitRate(namespace) {
		const of = namespace === undefined ? (c) => this.goneOfAll("namespace", c) :
		    (c) => this.goneOf("namespace", namespace, c);

		return of("hits") / (of("hits") + of("misses")); /* NaN: no read */
	}

	/* Steps of [from, below, n]; label undefined: there is only one of that family. */
	histogram(label, name, family) {
		const before = bucketsOf(this.from, label, name, family), after = bucketsOf(this.to, label, name, family);

		return inOrder([...after.values()].map(([from, below, n]) => [from, below, n - countIn(before, from)])
		    .filter(([, , n]) => n > 0));
	}

	/* Whether it ever had a value. */
	ever(label, name, family) {
		return bucketsOf(this.to, label, name, family).size > 0;
	}

	/* Of all commands: of short ones only a share is timed, so each is weighed by its calls. */
	commandHistogram() {
		const sum = new Map();

		for (const name of this.to.command.keys()) {
			const steps = this.histogram("command", name, "seconds");
			const weight = Math.max(this.goneOf("command", name, "commands") / total(steps), 1);

			for (const [from, below, n] of steps)
				sum.set(from, [from, below, countIn(sum, from) + n * weight]);
		}
		return inOrder([...sum.values()]);
	}
}

function bucketsOf(snapshot, label, name, family) {
	return (label ? snapshot[label].get(name) : snapshot.one)?.[family] ?? new Map();
}

function countIn(map, from) {
	return map.get(from)?.[2] ?? 0;
}

function inOrder(steps) {
	return steps.sort((a, b) => a[0] - b[0]);
}

function total(steps) {
	return steps.reduce((sum, [, , n]) => sum + n, 0);
}

/* The middle of the step it lies in; NaN: there are no values. */
function quantile(steps, share) {
	const rank = share * total(steps);
	let seen = 0;

	for (const [from, below, n] of steps) {
		seen += n;
		if (seen >= rank)
			return (from + below) / 2;
	}
	return NaN;
}

/* --- numbers and names for people --------------------------------------------------------- */

const NOTHING = "\u2013";
const THIN = "\u202f"; /* between a number and its unit */

function digits(x) {
	return x.toFixed(x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2);
}

function scaled(x, step, units) {
	let i = 0;

	x = Number(x.toPrecision(12));
	while (i + 1 < units.length && x >= step * 0.9995) {
		x /= step;
		i++;
	}
	return (i === 0 && Number.isInteger(x) ? String(x) : digits(x)) + (units[i] && THIN + units[i]);
}

/* Of a round number, as axes and limits have. */
function round(text) {
	return text.replace(/\.0+(?=\D)/, "");
}

const show = {
	count: (n) => Number.isFinite(n) ? Math.round(n).toLocaleString("en").replace("-", "\u2212") : NOTHING,
	rate(n) {
		if (!Number.isFinite(n))
			return NOTHING;
		if (n === 0)
			return "0";
		if (n < 10)
			return n < 0.01 ? "<0.01" : n.toFixed(2);
		return n < 999.5 ? digits(n) : scaled(n, 1000, ["", "k", "M", "G"]);
	},
	bytes: (n) => Number.isFinite(n) ? scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]) : NOTHING,
	/* Never 100 % of what is not all. */
	share: (x) => Number.isFinite(x) ? `${(Math.floor(x * 1000 + 1e-9) / 10).toFixed(1)}${THIN}%` : NOTHING,
	seconds(s) {
		if (!Number.isFinite(s))
			return NOTHING;
		if (s < 1e-6)
			return `${Math.round(s * 1e9)}${THIN}ns`;
		return s < 0.9995 ? scaled(s * 1e6, 1000, ["\u00b5s", "ms"]) : `${digits(s)}${THIN}s`;
	},
	/* A time that may be long, or negative. */
	duration: (s) => (s < 0 ? "\u2212" : "") + (s === 0 ? "0" : Math.abs(s) < 60 ? show.seconds(Math.abs(s)) : show.age(Math.abs(s))),
	age(s) {
		const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
		const i = Math.max(parts.findIndex(([unit]) => s >= unit), 0);
		const at = s < 1 ? 3 : i, rest = at < 3 ? Math.floor((s % parts[at][0]) / parts[at + 1][0]) : 0;

		return `${Math.floor(s / parts[at][0])}${THIN}${parts[at][1]}` +
		    (rest > 0 ? ` ${rest}${THIN}${parts[at + 1][1]}` : "");
	},
};

/* The daemon writes bytes that are no ASCII as \xXX. Where they are UTF-8 and can be seen for
 * what they are, they are shown; what could turn a line around or hide in it is not. */
function readable(text) {
	return text.replace(/(?:\\x[89a-f][0-9a-f])+/g, (escaped) => {
		const bytes = escaped.slice(2).split("\\x").map((hex) => parseInt(hex, 16));

		try {
			const decoded = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes));
			return /[\p{C}\p{Z}\p{M}]/u.test(decoded) ? escaped : decoded;
		} catch {
			return escaped;
		}
	});
}
