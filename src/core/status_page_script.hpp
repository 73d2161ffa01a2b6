// The script of the status page (status_page.hpp).

#pragma once

#include <string_view>

namespace keystile {

// What comes from the status is only ever text of a node or value of an
// attribute, never HTML.
inline constexpr std::string_view kStatusPageScript = R"js("use strict";

const REFRESH = 2000;    // milliseconds
const PATIENCE = 10000;  // with one answer
const NONE = "\u2013";

const byId = (id) => document.getElementById(id);
const opened = new Set();  // clients whose models are shown
const sorting = {title: "Client", descending: false};
let status = JSON.parse(byId("status").textContent);
let timer = 0;
let isAsking = false;

// ---- words ----

const number = (n) => n.toLocaleString();
const times = (n) => n === 1 ? "once" : number(n) + " times";
const words = (name) => name.replaceAll("_", " ");
const time = (text) => new Date(text).toLocaleTimeString();
const when = (text) => new Date(text).toLocaleString(undefined,
    {dateStyle: "medium", timeStyle: "short"});

function usd(n) {
    const digits = n > 0 && n < 1 ? 4 : 2;
    return n.toLocaleString(undefined, {style: "currency", currency: "USD",
        minimumFractionDigits: digits, maximumFractionDigits: digits});
}

function seconds(n) {
    return n < 1 ? Math.round(n * 1000) + " ms" : n.toFixed(1) + " s";
}

function bytes(n) {
    const units = ["bytes", "KiB", "MiB", "GiB"];
    let unit = 0;
    for (; n >= 1024 && unit < units.length - 1; unit++) {
        n /= 1024;
    }
    return (unit ? n.toFixed(1) : number(n)) + " " + units[unit];
}

function clientName(client) {
    return client.id === null ? "No key" : client.id;
}

// ---- figures ----

const sum = (values) => Object.values(values).reduce((a, b) => a + b, 0);

// The median, as if times were spread evenly within a bucket.
function median(histogram) {
    const half = histogram.count / 2;
    let from = 0;
    let below = 0;
    for (const {le, count} of histogram.buckets) {
        if (count > 0 && count >= half) {
            return le === null ? "over " + seconds(from)
                : seconds(from + (le - from) * (half - below)
                    / (count - below));
        }
        from = le;
        below = count;
    }
    return NONE;
}

function refusalsByReason(clients) {
    const all = new Map();
    for (const client of clients) {
        for (const [reason, n] of Object.entries(client.refusals)) {
            all.set(reason, (all.get(reason) || 0) + n);
        }
    }
    return [...all].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

// ---- nodes ----

function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
}

// Makes `old` the same as `fresh` and changes only what differs, so that the
// focus and a selection stay.
function patch(old, fresh) {
    if (old.nodeName !== fresh.nodeName) {
        old.replaceWith(fresh);
        return;
    }
    if (old.nodeType === Node.TEXT_NODE) {
        if (old.data !== fresh.data) {
            old.data = fresh.data;
        }
        return;
    }
    for (const {name} of [...old.attributes]) {
        if (!fresh.hasAttribute(name)) {
            old.removeAttribute(name);
        }
    }
    for (const {name, value} of fresh.attributes) {
        if (old.getAttribute(name) !== value) {
            old.setAttribute(name, value);
        }
    }
    patchChildren(old, [...fresh.childNodes]);
}

function patchChildren(parent, children) {
    children.forEach((child, i) => {
        const old = parent.childNodes[i];
        old ? patch(old, child) : parent.append(child);
    });
    while (parent.childNodes.length > children.length) {
        parent.lastChild.remove();
    }
}

// `used` and `kept` are parts of `most`.
function bar(label, used, kept, most) {
    const part = (n) => make("span",
        {style: `width:${Math.min(100, 100 * n / (most || 1))}%`});
    const share = (used + kept) / (most || 1);
    const state = share >= 1 ? " full" : share >= .8 ? " near" : "";
    return make("div", {
        class: "bar" + state, role: "meter", "aria-label": label,
        "aria-valuemin": 0, "aria-valuemax": most,
        "aria-valuenow": Math.min(used + kept, most),
    }, part(used), part(kept));
}

function fact(name, title, text, more) {
    return make("div", {}, make("dt", {}, title),
        make("dd", {"data-figure": name}, text),
        ...(more ? [make("dd", {class: "more"}, more)] : []));
}

const row = (attributes, ...cells) =>
    make("tr", {role: "row", ...attributes}, ...cells);
const rowTitle = (...content) =>
    make("th", {role: "rowheader", scope: "row"}, ...content);
const cell = (title, ...content) =>
    make("td", {role: "cell", "data-title": title}, ...content);
const rows = (tag, ...content) =>
    make(tag, {role: "rowgroup"}, ...content);

// ---- the parts of the page ----

function headline() {
    const t = status.totals;
    const refused = status.clients.map((client) => sum(client.refusals));
    const open = status.clients.map((client) => client.open);
    return [
        fact("requests", "Requests", number(t.requests)),
        fact("input", "Input tokens", number(t.input_tokens),
            number(t.cached_input_tokens) + " cached"),
        fact("output", "Output tokens", number(t.output_tokens),
            number(t.reasoning_output_tokens) + " reasoning"),
        fact("cost", "Cost", usd(t.cost_usd)),
        fact("open", "Open now", number(sum(open))),
        fact("refused", "Refused", number(sum(refused))),
        fact("missing", "Usage not seen", number(t.usage_missing)),
        fact("median", "Median time to first token",
            median(status.time_to_first_token)),
    ];
}

// Titles of columns, with what is in them for the figures of a model or of a
// client (which has no `model`); `by` is what to sort clients by.
const FIGURES = [
    ["Requests", (f) => number(f.requests), (c) => c.totals.requests],
    ["Input tokens", (f) => number(f.input_tokens),
        (c) => c.totals.input_tokens],
    ["Cached", (f) => number(f.cached_input_tokens),
        (c) => c.totals.cached_input_tokens],
    ["Output tokens", (f) => number(f.output_tokens),
        (c) => c.totals.output_tokens],
    ["Cost", (f) => usd(f.cost_usd), (c) => c.totals.cost_usd],
];
const KEYS = new Map([
    ["Client", (c) => clientName(c)],
    ...FIGURES.map(([title, , by]) => [title, by]),
    ["Open", (c) => c.open],
    ["Refused", (c) => sum(c.refusals)],
]);

const figureCells = (figures) =>
    FIGURES.map(([title, text]) => cell(title, text(figures)));

function clientHead() {
    const sorted = sorting.descending ? "descending" : "ascending";
    const titles = [...KEYS.keys()].map((title) => make("th", {
        role: "columnheader", scope: "col",
        "aria-sort": title === sorting.title ? sorted : "none",
    }, make("button", {type: "button", "data-sort": title}, title)));
    return rows("thead", row({}, ...titles, make("th",
        {role: "columnheader", scope: "col", class: "limits"}, "Limits")));
}

const UNITS = {
    requests: "requests", total_tokens: "tokens", cost_usd: "",
    concurrent: "open at one time",
};
const WINDOWS = {
    minute: "a minute", hour: "an hour", daily: "a day", weekly: "a week",
    monthly: "a month",
};

function limitItem(limit) {
    const amount = limit.limit_type === "cost_usd"
        ? (n) => usd(n / 1e6) : number;
    const most = [amount(limit.max_value), UNITS[limit.limit_type],
        WINDOWS[limit.limit_window]].filter(Boolean).join(" ");
    const text = `${amount(limit.current_value)} of ${most}`;
    const model = limit.model_filter ? ` for ${limit.model_filter}` : "";
    const reset = limit.reset_at ? `, until ${when(limit.reset_at)}` : "";
    const kept = Math.min(limit.reserved_value, limit.current_value);
    return make("li", {}, make("span", {class: "words"}, text),
        make("span", {class: "quiet"}, model + reset),
        bar(text + model, limit.current_value - kept, kept,
            limit.max_value));
}

function clientRows(client) {
    const key = JSON.stringify([client.set, client.id]);
    const isOpen = opened.has(key);
    const button = make("button", {
        type: "button", "data-key": key, "aria-expanded": isOpen,
    }, clientName(client));
    const set = client.set === null ? [] : [" ",
        make("span", {class: "quiet more"}, client.set)];
    const own = row({class: "client"}, rowTitle(button, ...set),
        ...figureCells(client.totals), cell("Open", number(client.open)),
        cell("Refused", number(sum(client.refusals))),
        make("td", {role: "cell", class: "limits"},
            ...(client.limits.length
                ? [make("ul", {}, ...client.limits.map(limitItem))] : [])));
    if (!isOpen) {
        return [own];
    }
    const models = client.models.map((model) => row({class: "model"},
        rowTitle(model.model === null ? "Model not known" : model.model),
        ...figureCells(model), cell("Open"), cell("Refused"),
        make("td", {role: "cell", class: "limits"})));
    const refusals = refusalsByReason([client]).map(([reason, n]) =>
        row({class: "model"}, rowTitle("Refused: " + words(reason)),
            ...FIGURES.map(([title]) => cell(title)), cell("Open"),
            cell("Refused", number(n)),
            make("td", {role: "cell", class: "limits"})));
    return [own, ...models, ...refusals];
}

function clientBody() {
    const key = KEYS.get(sorting.title);
    const sign = sorting.descending ? -1 : 1;
    const order = (a, b) =>
        typeof a === "string" ? a.localeCompare(b) : a - b;
    const clients = [...status.clients].sort((a, b) =>
        sign * order(key(a), key(b)) || order(clientName(a), clientName(b)));
    return rows("tbody", ...clients.flatMap(clientRows));
}

function refusalParts() {
    const all = refusalsByReason(status.clients);
    const head = (text) =>
        make("th", {role: "columnheader", scope: "col"}, text);
    return [
        rows("thead", row({}, head("Reason"), head("Requests"))),
        rows("tbody", ...(all.length ? all : [["none", 0]]).map(
            ([reason, n]) => row({}, rowTitle(words(reason)),
                cell("Requests", number(n))))),
    ];
}

function zoneFacts() {
    const {memory, state} = status;
    const used = memory.size - memory.free;
    const text = `${bytes(used)} of ${bytes(memory.size)} in use`;
    const room = fact("memory", "Memory of the zone", text,
        memory.full ? `had no room ${times(memory.full)}` : "");
    room.append(make("dd", {}, bar(text, used, 0, memory.size)));
    return [
        room,
        fact("state", "State file", state.saved_at === null ? "never saved"
            : "saved " + when(state.saved_at),
        state.failures ? `saving failed ${times(state.failures)}` : ""),
        fact("since", "Counting since", when(status.counted_since)),
        fact("processes", "Worker processes", number(status.processes)),
        fact("version", "Version of keystile", status.version),
        ...status.credentials.map(credentialFact),
    ];
}

function credentialFact({name, cools_down, back_at, expires, ...c}) {
    const refused = sum(c.refusals);
    const more = [
        refused && `refused ${times(refused)}`,
        expires && (expires > status.now ? "expires " : "has expired ")
            + when(expires),
    ].filter(Boolean).join(", ");
    return fact("credential", `Credential ${name}`, cools_down
        ? `${cools_down.replace("_", " ")}, back ${when(back_at)}`
        : `sent ${times(c.requests)}`, more);
}

function show() {
    const left = status.clients_left_out;
    document.title = `keystile: ${status.zone}`;
    byId("zone").textContent = status.zone;
    byId("updated").textContent = "Last update at " + time(status.now);
    patchChildren(byId("headline"), headline());
    patchChildren(byId("clients"), [clientHead(), clientBody()]);
    patchChildren(byId("refusals"), refusalParts());
    patchChildren(byId("zone-facts"), zoneFacts());
    byId("left-out").hidden = !left;
    byId("left-out").textContent = `${number(left)} more are not shown; `
        + "what they used is in the figures of all clients together.";
}

// ---- staying up to date ----

async function update() {
    if (isAsking) {
        return;
    }
    isAsking = true;
    try {
        const answer = await fetch("?format=json",
            {cache: "no-store", signal: AbortSignal.timeout(PATIENCE)});
        if (!answer.ok) {
            throw new Error(`the server answers with ${answer.status}`);
        }
        status = await answer.json();
        show();
        byId("note").hidden = true;
    } catch (error) {
        byId("note").textContent = `Not updating: ${error.message}. These are `
            + `the figures of ${time(status.now)}.`;
        byId("note").hidden = false;
    }
    isAsking = false;
    plan();
}

function plan() {
    clearTimeout(timer);
    if (!document.hidden) {
        timer = setTimeout(update, REFRESH);
    }
}

document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) {
        update();
    }
});

byId("clients").addEventListener("click", (event) => {
    const {key, sort} = event.target.closest("button")?.dataset ?? {};
    if (key) {
        opened.has(key) ? opened.delete(key) : opened.add(key);
    } else if (sort) {
        sorting.descending = sort === sorting.title ? !sorting.descending
            : sort !== "Client";
        sorting.title = sort;
    }
    show();
});

show();
plan();
)js";

}  // namespace keystile
