#!/usr/bin/env python3
"""Writes pannier.json, the dashboard, which Grafana takes as it is (Dashboards, New, Import).

    contrib/grafana/make_dashboard.py >contrib/grafana/pannier.json

A panel is a line or a few here and fifty there, so the JSON is made from this, and a test
compares the two and runs every query against a Prometheus that reads a real pannier."""

import json
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = '{job=~"$job", instance=~"$instance"}'
NS = '{job=~"$job", instance=~"$instance", ns=~"$ns"}'
ORIGIN = '{job=~"$job", instance=~"$instance", origin=~"$origin"}'
WIDTH = 24
BREAKER = {"0": ("closed", "green"), "1": ("OPEN", "red"), "2": ("half-open", "yellow")}


def rate(metric, where=HERE, by=""):
    return f"sum{' by (' + by + ')' if by else ''} (rate(pannier_{metric}{where}[$__rate_interval]))"


def quantile(q, metric, where, by):
    inner = f"sum by (le, {by}) (rate(pannier_{metric}_bucket{where}[$__rate_interval]))"
    return f"histogram_quantile({q}, {inner})"


def hit_ratio(by=""):
    hits, misses = (rate(f"namespace_{m}_total", NS, by) for m in ("hits", "misses"))
    return f"{hits} / (({hits} + {misses}) > 0)"


def target(number, query):
    """A query: PromQL, or PromQL and what its series are called."""
    expr, legend = query if isinstance(query, tuple) else (query, "")
    return {"datasource": SOURCE, "editorMode": "code", "expr": expr, "legendFormat": legend or "__auto",
            "range": True, "refId": chr(ord("A") + number)}


def panel(kind, title, queries, about="", unit="short", width=8, height=8, **options):
    """One panel; its place is found by board(). A query is PromQL, or (PromQL, legend)."""
    queries = queries if isinstance(queries, list) else [queries]
    defaults = {"unit": unit, "min": options.pop("least", 0)}
    if "most" in options:
        defaults["max"] = options.pop("most")
    if "steps" in options:
        defaults["thresholds"] = {"mode": "absolute", "steps": [
            {"color": color, "value": value} for color, value in options.pop("steps")]}
    if "mappings" in options:
        defaults["mappings"] = [{"type": "value", "options": {
            value: {"text": text, "color": color, "index": i}
            for i, (value, (text, color)) in enumerate(options.pop("mappings").items())}}]
    defaults["custom"] = options.pop("custom", {})
    return {"type": kind, "title": title, "description": about, "datasource": SOURCE,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
            "targets": [target(i, q) for i, q in enumerate(queries)],
            "gridPos": {"w": width, "h": height}}


def number(title, query, unit="short", about="", steps=((None, "text"),), **more):
    return panel("stat", title, query, about, unit, width=4, height=4,
                 steps=[(color, value) for value, color in steps],
                 reduceOptions={"calcs": ["lastNotNull"], "fields": "", "values": False},
                 colorMode="value", graphMode="area", textMode="auto", justifyMode="auto", **more)


def graph(title, queries, unit="short", about="", stacked=False, **more):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8,
              "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    return panel("timeseries", title, queries, about, unit, custom=custom,
                 legend={"displayMode": "list", "placement": "bottom", "showLegend": True},
                 tooltip={"mode": "multi", "sort": "desc"}, **more)


def heatmap(title, metric, where, about=""):
    return panel("heatmap", title,
                 (f"sum by (le) (increase(pannier_{metric}_bucket{where}[$__rate_interval]))", "{{le}}"),
                 about, calculate=False, yAxis={"unit": "s", "axisPlacement": "left"},
                 color={"mode": "scheme", "scheme": "Blues", "steps": 64, "exponent": 0.5},
                 cellGap=0, tooltip={"show": True, "yHistogram": False}) | {"_format": "heatmap"}


def states(title, query, about, mappings):
    return panel("state-timeline", title, query, about, mappings=mappings,
                 custom={"fillOpacity": 70, "lineWidth": 0}, showValue="auto", rowHeight=0.8,
                 legend={"displayMode": "list", "placement": "bottom", "showLegend": False})


ROWS = [
    ("At a glance", [
        number("Hit ratio", hit_ratio(), "percentunit", "Of all reads of keys, those answered from the cache.",
               steps=((None, "red"), (0.5, "yellow"), (0.8, "green")), most=1),
        number("Reads", f'{rate("namespace_hits_total", NS)} + {rate("namespace_misses_total", NS)}', "reqps"),
        number("Reads that failed", rate("namespace_read_errors_total", NS), "reqps",
               "The origin failed, and nothing was left to serve.", steps=((None, "green"), (0.01, "red"))),
        number("Memory of the limit", f"max(pannier_memory_resident_bytes{HERE} / pannier_memory_limit_bytes{HERE})",
               "percentunit", "The fullest of those chosen. Close to 1 is how a cache shall be; it never is above.",
               most=1),
        number("Open breakers", f"count(pannier_origin_breaker_state{ORIGIN} == 1) or vector(0)", "none",
               steps=((None, "green"), (1, "red"))),
        number("Running", f"count(pannier_info{HERE})", "none", "Processes that Prometheus reads."),
    ]),
    ("Hits", [
        graph("Hit ratio by namespace", (hit_ratio("ns"), "{{ns}}"), "percentunit", most=1),
        graph("Reads by namespace", (
            f'{rate("namespace_hits_total", NS, "ns")} + {rate("namespace_misses_total", NS, "ns")}',
            "{{ns}}"), "reqps", stacked=True),
        graph("What became of misses", [
            (rate("namespace_filled_total", NS), "answered by an origin"),
            (rate("namespace_coalesced_total", NS), "of these, waited for another's fetch"),
            (rate("namespace_stale_on_error_total", NS), "stale, the origin failed"),
            (rate("namespace_fallbacks_total", NS), "fallback"),
            (rate("namespace_read_errors_total", NS), "error")], "reqps"),
        graph("Stale values served", [
            (rate("namespace_stale_refreshing_total", NS, "ns"), "{{ns}} while renewed"),
            (rate("namespace_stale_on_error_total", NS, "ns"), "{{ns}} on error"),
            (rate("namespace_stale_served_total", NS, "ns"), "{{ns}} while a client loads")], "reqps"),
        graph("Reads that waited", [
            (quantile(0.5, "namespace_wait_seconds", NS, "ns"), "{{ns}} p50"),
            (quantile(0.99, "namespace_wait_seconds", NS, "ns"), "{{ns}} p99")], "s",
            "For a fetch or a lease, until they were answered."),
        graph("Origins' time saved", (rate("namespace_origin_saved_seconds_total", NS, "ns"), "{{ns}}"), "none",
              "Seconds a second: 100 are a hundred requests that the origin would have under way at any time."),
        graph("Leases", [
            (rate("namespace_leases_total", NS), "granted"), (rate("namespace_lease_waits_total", NS), "waits"),
            (rate("namespace_lease_expired_total", NS), "expired"),
            (rate("namespace_lease_promoted_total", NS), "promoted")], "ops",
            "coalesce: lease. Many expired ones: lease_time is shorter than a load takes."),
        graph("Invalidated", (rate("namespace_invalidated_total", NS, "ns"), "{{ns}}"), "ops"),
    ]),
    ("Origins", [
        states("Circuit breakers", (f"max by (origin) (pannier_origin_breaker_state{ORIGIN})", "{{origin}}"),
               "Where several processes are chosen, the worst of them.", BREAKER),
        graph("Requests to origins", (rate("origin_requests_total", ORIGIN, "origin"), "{{origin}}"), "reqps",
              "What the cache lets through."),
        graph("Failing requests", (
            f'{rate("origin_errors_total", ORIGIN, "origin")} / ({rate("origin_requests_total", ORIGIN, "origin")} > 0)',
            "{{origin}}"), "percentunit", most=1),
        graph("Latency of origins", [
            (quantile(0.5, "origin_latency_seconds", ORIGIN, "origin"), "{{origin}} p50"),
            (quantile(0.99, "origin_latency_seconds", ORIGIN, "origin"), "{{origin}} p99")], "s"),
        heatmap("Latency of origins, spread", "origin_latency_seconds", ORIGIN),
        graph("Under way and queued", [
            (f"sum by (origin) (pannier_origin_in_flight{ORIGIN})", "{{origin}} under way"),
            (f"sum by (origin) (pannier_origin_queued{ORIGIN})", "{{origin}} queued"),
            (f"sum by (origin) (pannier_origin_concurrency_limit{ORIGIN}) > 0", "{{origin}} limit")]),
        graph("Refused by the guard", [
            (rate("origin_breaker_refused_total", ORIGIN, "origin"), "{{origin}} breaker"),
            (rate("origin_rate_refused_total", ORIGIN, "origin"), "{{origin}} rate"),
            (rate("origin_shed_total", ORIGIN, "origin"), "{{origin}} queue")], "reqps"),
        graph("Retries and hedges", [
            (rate("origin_retries_total", ORIGIN, "origin"), "{{origin}} retries"),
            (rate("origin_retries_refused_total", ORIGIN, "origin"), "{{origin}} retries over budget"),
            (rate("origin_hedges_total", ORIGIN, "origin"), "{{origin}} hedges"),
            (rate("origin_hedges_won_total", ORIGIN, "origin"), "{{origin}} hedges won")], "reqps"),
        graph("Endpoints out", (
            f"sum by (origin) (pannier_origin_endpoints_out{ORIGIN})", "{{origin}}"),
            about="Ejected, down by their health checks, or taken out by hand."),
    ]),
    ("Memory", [
        graph("Resident against the limit", [
            (f"sum(pannier_memory_limit_bytes{HERE})", "limit"),
            (f"sum(pannier_memory_resident_bytes{HERE})", "resident")], "bytes"),
        graph("What the cache's pages hold", [
            (f"sum(pannier_cache_user_bytes{HERE})", "keys and values"),
            (f"sum(pannier_cache_live_bytes{HERE}) - sum(pannier_cache_user_bytes{HERE})", "headers"),
            (f"sum(pannier_cache_table_bytes{HERE})", "tables"),
            (f"sum(pannier_cache_dead_bytes{HERE})", "dead, to be cleaned")], "bytes", stacked=True),
        graph("Bytes by namespace", (f"sum by (ns) (pannier_namespace_bytes{NS})", "{{ns}}"),
              "bytes", stacked=True),
        graph("Evicted and expired", [
            (rate("namespace_evicted_total", NS, "ns"), "{{ns}} evicted"),
            (rate("namespace_expired_total", NS, "ns"), "{{ns}} expired")], "ops"),
        graph("Refused for lack of room", [
            (rate("namespace_put_refused_total", NS), "values"), (rate("oom_errors_total"), "commands")], "ops"),
        graph("Pressure", [
            (rate("pressure_looks_total"), "share of the time"), (rate("pressure_steps_total"), "steps of the cache"),
            (rate("memory_follows_total"), "limits followed")],
            about="Short memory around the process, and what it gave up for that."),
    ]),
    ("What memory is worth", [
        graph("Hit ratio with other memory", (
            f"avg by (factor) (pannier_advice_overall_hit_ratio{HERE})", "{{factor}} x"), "percentunit",
            "Learnt from a sample of the reads; see doc/advice.md.", most=1),
        graph("Origins' time saved", (
            f"avg by (factor) (pannier_advice_origin_saved_ratio{HERE})", "{{factor}} x"), "percentunit",
            "Seconds of origins' time that each process saves in a second, with so many times the memory."),
        graph("Memory for a wanted hit ratio", (
            f"max by (hit_ratio) (pannier_advice_wanted_memory_bytes{HERE})", "{{hit_ratio}}"), "bytes"),
    ]),
    ("Clients and the process", [
        graph("Commands", (rate("commands_total", HERE, "command"), "{{command}}"), "ops", stacked=True),
        graph("Time in commands, p99", (
            quantile(0.99, "command_seconds", HERE, "command"), "{{command}}"), "s",
            "Of those that were timed: one short one in 64, all others. Waiting for origins is not in it."),
        graph("Connections", [
            (f"sum(pannier_clients{HERE})", "open"), (rate("connections_received_total"), "opened a second"),
            (f"sum(pannier_requests_waiting{HERE})", "requests that wait")]),
        graph("Bytes", [
            (rate("received_bytes_total"), "in"), (rate("sent_bytes_total"), "out")], "Bps"),
        graph("CPU", [
            (rate("cpu_user_seconds_total"), "user"), (rate("cpu_system_seconds_total"), "system")],
            "none", "Seconds a second: 1 is one processor.", stacked=True),
        graph("Longest turn of a loop, p99 of all seconds", (
            quantile(0.99, "loop_lag_seconds", HERE, "instance"), "{{instance}}"), "s",
            "All clients of a loop wait so long."),
        graph("Refused and cut off", [
            (rate("error_replies_total"), "error replies"), (rate("protocol_errors_total"), "malformed"),
            (rate("auth_failures_total"), "wrong passwords"), (rate("peers_refused_total"), "users not allowed"),
            (rate("rejected_connections_total"), "max_clients"), (rate("output_limit_closes_total"), "output_limit"),
            (rate("query_limit_closes_total"), "too large")], "ops"),
        graph("Writes to origins", [
            (rate("namespace_writes_total", NS), "done"), (rate("namespace_write_errors_total", NS), "failed"),
            (rate("namespace_writes_refused_total", NS), "refused"), (rate("namespace_writes_lost_total", NS), "lost"),
            (f"sum(pannier_origin_write_queue_entries{HERE})", "waiting")], "ops"),
        graph("Streams of invalidations", [
            (f"min by (stream) (pannier_stream_connected{HERE})", "{{stream}} connected"),
            (rate("stream_messages_total", HERE, "stream"), "{{stream}} messages")]),
    ]),
]


def variable(name, query, label):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": "variable"}, "refresh": 2, "sort": 1, "multi": True,
            "includeAll": True, "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


def variables():
    return [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
             "current": {}, "hide": 0},
            variable("job", "label_values(pannier_info, job)", "Job"),
            variable("instance", 'label_values(pannier_info{job=~"$job"}, instance)', "Instance"),
            variable("ns",
                     'label_values(pannier_namespace_hits_total{job=~"$job", instance=~"$instance"}, ns)',
                     "Namespace"),
            variable("origin",
                     'label_values(pannier_origin_requests_total{job=~"$job", instance=~"$instance"}, origin)',
                     "Origin")]


def place(panels, y):
    """From left to right, row below row; the height that is used."""
    x, used, tall = 0, 0, 0
    for p in panels:
        if x + p["gridPos"]["w"] > WIDTH:
            x, used, tall = 0, used + tall, 0
        p["gridPos"] |= {"x": x, "y": y + used}
        x, tall = x + p["gridPos"]["w"], max(tall, p["gridPos"]["h"])
    return used + tall


def finish(p, ident):
    """Its number, and for queries that need it a format."""
    form = p.pop("_format", None)
    if form:
        for t in p["targets"]:
            t["format"] = form
    return p | {"id": ident}


def board():
    found, y = [], 0
    for title, panels in ROWS:
        found.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                      "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        y += 1
        y += place(panels, y)
        found += panels
    return {"title": "pannier", "uid": "pannier", "tags": ["cache", "pannier"], "schemaVersion": 37, "version": 1,
            "description": "Hit ratios, origins and memory of pannier, the caching sidecar.",
            "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
            "time": {"from": "now-3h", "to": "now"}, "templating": {"list": variables()},
            "annotations": {"list": [{
                "name": "Starts", "enable": True, "datasource": SOURCE, "iconColor": "purple",
                "expr": f"changes(pannier_start_time_seconds{HERE}[1m]) > 0", "titleFormat": "pannier was started"}]},
            "links": [], "panels": [finish(p, i + 1) for i, p in enumerate(found)]}


if __name__ == "__main__":
    json.dump(board(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
