/* validate.js - are the objects of a YAML stream what the Kubernetes API takes?
 *
 *     node validate.js < manifests.yaml
 *
 * Prints an object that is good as "ok KIND/NAME", anything else as "bad KIND/NAME: WHERE: WHY",
 * and exits with the number of bad ones. The schemas are the API's own, compiled by the package
 * kubernetes-models. Of members that they do not know they say nothing, as a server
 * would not; so what they never looked at is told as unknown. */
"use strict";
const fs = require("fs");
const yaml = require("js-yaml");

const GROUPS = { "monitoring.coreos.com": "@kubernetes-models/prometheus-operator" };

/* A copy that takes note of what is read of it. */
function watched(value, path, unread) {
	if (value === null || typeof value !== "object")
		return value;
	const inner = Array.isArray(value) ? [] : {};
	for (const [name, member] of Object.entries(value)) {
		const where = `${path}/${name}`;
		inner[name] = watched(member, where, unread);
		if (!Array.isArray(value))
			unread.add(where);
	}
	return new Proxy(inner, {
		get(target, name) {
			if (typeof name === "string")
				unread.delete(`${path}/${name}`);
			return target[name];
		},
	});
}

function validator(object) {
	const [group, version] = object.apiVersion.includes("/") ? object.apiVersion.split("/")
	                                                         : ["", object.apiVersion];
	const from = `${GROUPS[group] ?? "kubernetes-models"}/${group ? group + "/" : ""}${version}/${object.kind}`;
	return require(from)[object.kind];
}

/* The paths below which nothing was read tell enough. */
function outermost(paths) {
	return [...paths].filter((p) => ![...paths].some((q) => p !== q && p.startsWith(q + "/")));
}

function problems(object) {
	const unread = new Set();
	let wrong = [];
	try {
		const model = new (validator(object))({});
		model.validate.call(watched(object, "", unread));
	} catch (e) {
		if (!e.errors)
			return [e.message];
		wrong = e.errors.map((x) => `${x.instancePath || "/"}: ${x.message}`);
	}
	return wrong.concat(outermost(unread).map((p) => `${p}: the API has no such field`));
}

let bad = 0;
for (const object of yaml.loadAll(fs.readFileSync(0, "utf8"))) {
	if (object === null)
		continue;
	const name = `${object.kind}/${object.metadata.name}`;
	const found = problems(object);
	bad += found.length !== 0;
	console.log(found.length === 0 ? `ok ${name}` : `bad ${name}: ${found.join("; ")}`);
}
process.exitCode = Math.min(bad, 100);
