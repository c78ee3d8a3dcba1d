/* draw.js - small charts as SVG, in units of their own that the page stretches; text stands
 * beside them as HTML, so that it stays readable at each width. */
"use strict";

function svg(name, attributes, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", name);

	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	element.append(...children);
	return element;
}

function canvas(width, height, ...children) {
	return svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none",
		"aria-hidden": "true", focusable: "false" }, ...children);
}

function polyline(points) {
	return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
}

/* Runs of points without a gap in them. */
function runs(points) {
	const all = [[]];

	for (const point of points)
		if (Number.isFinite(point[1]))
			all[all.length - 1].push(point);
		else
			all.push([]);
	return all.filter((run) => run.length > 0);
}

const SPARK_S = [60, 300]; /* at least and at most */

/* Points of [seconds ago, number], from 0 to `top`, or to the largest of them. */
function drawSpark(into, points, top) {
	const width = Math.min(Math.max(points[0]?.[0] ?? 0, SPARK_S[0]), SPARK_S[1]);
	const highest = top ?? Math.max(...points.map(([, y]) => y).filter(Number.isFinite), 1e-9);
	const place = ([ago, y]) => [300 - ago / width * 300, 39 - Math.min(y / highest, 1) * 37];
	const parts = [];

	for (const run of runs(points.filter(([ago]) => ago <= width))) {
		const line = run.map(place);
		const area = [[line[0][0], 40], ...line, [line[line.length - 1][0], 40]];

		if (line.length === 1)
			line.push([line[0][0] + 1, line[0][1]]);
		parts.push(svg("path", { class: "area", d: polyline(area) }),
		    svg("path", { class: "line", d: polyline(line) }));
	}
	into.replaceChildren(canvas(300, 40, ...parts));
}

/* HTML text at a share of the width (and of the height) of what it is put into. At its ends it
 * stays within. */
function label(kind, text, x, y) {
	const span = document.createElement("span");

	span.className = x < 0.03 ? `${kind} first` : x > 0.97 ? `${kind} last` : kind;
	span.textContent = text;
	span.style.left = `${(x * 100).toFixed(2)}%`;
	if (y !== undefined)
		span.style.top = `${(y * 100).toFixed(2)}%`;
	return span;
}

/* Steps of [from, below, n], in seconds, over a logarithmic axis, with percentiles. */
function drawHistogram(into, steps, marks) {
	if (steps.length === 0) {
		into.replaceChildren(label("empty", "Nothing was timed in this time.", 0.5, 0.5));
		return;
	}
	const least = Math.floor(Math.log10(Math.max(steps[0][0], 1e-9)) + 1e-9);
	const most = Math.max(Math.ceil(Math.log10(steps[steps.length - 1][1]) - 1e-9), least + 1);
	const x = (seconds) => Math.max(Math.log10(Math.max(seconds, 1e-9)) - least, 0) / (most - least);
	const highest = Math.max(...steps.map(([, , n]) => n));
	const bars = [], texts = [];

	for (const [from, below, n] of steps) {
		const height = Math.max(n / highest * 97, 0.7);

		bars.push(svg("rect", { class: "step", x: (x(from) * 1000).toFixed(2), y: (100 - height).toFixed(2),
			width: Math.max((x(below) - x(from)) * 1000, 1).toFixed(2), height: height.toFixed(2) }));
	}
	for (let power = least; power <= most; power++) {
		bars.unshift(svg("path", { class: "grid", d: `M${(power - least) / (most - least) * 1000} 0V100` }));
		texts.push(label("tick", round(show.seconds(10 ** power)), (power - least) / (most - least)));
	}
	for (const [name, seconds] of marks) {
		bars.push(svg("path", { class: "mark", d: `M${(x(seconds) * 1000).toFixed(2)} 0V100` }));
		texts.push(label("mark", name, x(seconds)));
	}
	into.replaceChildren(canvas(1000, 100, ...bars), ...texts);
}

/* Points of [bytes, share] over a logarithmic axis; `now` bytes are there today. */
function drawCurve(into, points, now) {
	const least = Math.log2(points[0][0]), most = Math.log2(points[points.length - 1][0]);
	const x = (bytes) => (Math.log2(bytes) - least) / Math.max(most - least, 1e-9);
	const line = points.map(([bytes, share]) => [x(bytes) * 1000, 100 - share * 100]);
	const parts = [], texts = [];

	for (const share of [0, 0.25, 0.5, 0.75, 1]) {
		parts.push(svg("path", { class: "grid", d: `M0 ${100 - share * 100}H1000` }));
		texts.push(label("level", `${share * 100}${THIN}%`, 0, 1 - share));
	}
	for (let power = Math.ceil(least - 1e-9); power <= most + 1e-9; power++)
		if ((power - Math.ceil(least - 1e-9)) % Math.ceil((most - least) / 6) === 0)
			texts.push(label("tick", round(show.bytes(2 ** power)), x(2 ** power)));
	parts.push(svg("path", { class: "area", d: polyline([[line[0][0], 100], ...line, [1000, 100]]) }),
	    svg("path", { class: "line", d: polyline(line) }));
	if (now > 0 && x(now) >= 0 && x(now) <= 1) {
		parts.push(svg("path", { class: "mark", d: `M${(x(now) * 1000).toFixed(2)} 0V100` }));
		texts.push(label("mark", "now", x(now)));
	}
	into.replaceChildren(canvas(1000, 100, ...parts), ...texts);
}
