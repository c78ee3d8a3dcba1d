/* page.js - asks the daemon again and again while somebody looks, and says when it does not answer. */
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;
const RETRY_MS = [1000, 2000, 4000, 8000, 10000];
const BYTES_A_POLL = 100000; /* larger answers are asked for less often */

const past = new History();
const parts = [new Namespaces(), new Origins(), new Streams(), { show: showMemory }, new Latency(), new HotKeys(),
	new Advice(), { show: showNotices }];
const poll = { timer: 0, asking: null, failures: 0, answered: 0, bytes: 0, restarted: false };
const NEW_S = 300; /* so long a daemon that was started anew is called so */

function chosenWindow() {
	const { value } = document.querySelector("input[name=window]:checked");

	return value === "all" ? value : Number(value);
}

function setState(state, text) {
	byId("state").dataset.state = state;
	setText(byId("state"), text);
}

/* --- showing ---------------------------------------------------------------------------------- */

/* Before there are two answers there is nothing to average: it shows what there is, and no rate. */
function showAll() {
	const to = past.last;

	if (to === undefined)
		return;
	const span = past.span(chosenWindow()) ?? new Span(to, to);
	const name = document.title.split(" ")[0];

	setText(byId("version"), to.version);
	setText(byId("uptime"), `up ${show.age(to.up)}`);
	showTiles(span, past);
	for (const part of parts)
		part.show(span);
	setText(byId("covers"), span.from === to ? "Averages begin with the next answer." :
	    `Averages over the last ${show.age(span.seconds)}, curves over 5${THIN}min. ` +
	    `Asks every ${show.age(pause() / 1e3)} while this page is visible.`);
	byId("main").hidden = false;
	document.title = `${name} ${show.share(span.hitRate())}`;
}

function showAnswered() {
	poll.failures = 0;
	poll.answered = Date.now();
	byId("lost").hidden = true;
	document.body.classList.remove("stale");
	if (past.last.one.draining)
		setState("warn", "Draining");
	else
		setState("live", poll.restarted && past.last.up < NEW_S ? "Live, started anew" : "Live");
	showAll();
}

function showLost(why, wait) {
	const since = poll.answered ? `What is shown is of ${new Date(poll.answered).toLocaleTimeString()}. ` : "";

	setState("lost", "Connection lost");
	document.body.classList.toggle("stale", poll.answered > 0);
	setText(byId("lost-why"), why);
	setText(byId("lost-next"), `${since}Tries again in ${show.age(wait / 1e3)}.`);
	byId("lost").hidden = false;
}

/* --- asking -------------------------------------------------------------------------------------- */

/* Large answers (many namespaces) cost the daemon more than small ones. */
function pause() {
	return EVERY_MS * Math.max(1, Math.ceil(poll.bytes / BYTES_A_POLL));
}

async function fetchStats(signal) {
	const answer = await fetch("stats.json", { cache: "no-store", credentials: "same-origin", signal });

	if (!answer.ok)
		throw new Error(`It answers ${answer.status}.`);
	const text = await answer.text();
	poll.bytes = text.length;
	const doc = JSON.parse(text);
	if (single(doc, "start_time_seconds") === 0)
		throw new Error("Something else answers.");
	return doc;
}

function reason(error) {
	switch (error.name) {
	case "TypeError":
		return "The daemon does not answer.";
	case "TimeoutError":
		return `No answer within ${PATIENCE_MS / 1000}${THIN}s.`;
	case "SyntaxError":
		return "Something else answers.";
	default:
		return error.message;
	}
}

function askIn(ms) {
	clearTimeout(poll.timer);
	poll.timer = document.hidden ? 0 : setTimeout(ask, ms);
}

async function ask() {
	const asking = new AbortController();

	let doc;

	clearTimeout(poll.timer);
	poll.asking?.abort();
	poll.asking = asking;
	try {
		doc = await fetchStats(AbortSignal.any([asking.signal, AbortSignal.timeout(PATIENCE_MS)]));
	} catch (error) {
		if (!asking.signal.aborted)
			retry(error);
		return;
	}
	if (asking.signal.aborted)
		return;
	/* The second answer comes soon, so that there are rates. */
	askIn(past.snapshots.length === 0 ? EVERY_MS / 2 : pause());
	poll.restarted = past.add(doc) || poll.restarted;
	showAnswered();
}

function retry(error) {
	const wait = RETRY_MS[Math.min(poll.failures++, RETRY_MS.length - 1)];

	showLost(reason(error), wait);
	askIn(wait);
}

/* Nobody looks: nothing is asked. */
function onVisibility() {
	if (!document.hidden) {
		ask();
		return;
	}
	askIn(0);
	poll.asking?.abort();
	setState("wait", "Paused");
}

byId("retry").addEventListener("click", ask);
byId("window").addEventListener("change", showAll);
document.addEventListener("visibilitychange", onVisibility);
onVisibility();
