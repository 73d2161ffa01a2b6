#include "status_page.hpp"

#include "status_json.hpp"
#include "status_page_script.hpp"

namespace keystile {
namespace {

constexpr std::string_view kBegin = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>keystile</title>
<style>
:root {
    --page: #f5f6f8; --panel: #fff; --text: #1b1f24; --quiet: #59636e;
    --line: #dde2e8; --track: #e6eaef; --used: #2f6fd0; --kept: #a9c6f2;
    --near: #b86e00; --full: #c02b1d; --note: #fff1d6;
}
@media (prefers-color-scheme: dark) {
    :root {
        --page: #0f1317; --panel: #181d23; --text: #e6e9ed; --quiet: #9ba6b2;
        --line: #2a323b; --track: #2a323b; --used: #6ea5f8; --kept: #33527f;
        --near: #eeb04e; --full: #ff8577; --note: #4a3409;
    }
}
* { box-sizing: border-box; }
body {
    margin: 0 auto; padding: 1rem; max-width: 90rem;
    background: var(--page); color: var(--text);
    font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere;
}
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; }
h1 { margin: 0; font-size: 1.3rem; }
h2 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
header p, .quiet, dt, .more, th { color: var(--quiet); }
header p { margin: 0; }
#note {
    margin: .75rem 0 0; padding: .6rem .8rem; border-radius: .5rem;
    background: var(--note); font-weight: 600;
}
[hidden] { display: none !important; }
dl { margin: 0; display: grid; gap: .6rem; }
#headline { grid-template-columns: repeat(4, 1fr); }
#zone-facts { grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
dl > div, .panel {
    background: var(--panel); border: 1px solid var(--line);
    border-radius: .5rem; padding: .6rem .8rem;
}
dt, .more, th, .limits { font-size: .85rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
#headline dd:not(.more) { font-size: 1.35rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse; }
th, td {
    padding: .4rem .5rem; text-align: right; vertical-align: top;
    font-variant-numeric: tabular-nums; border-top: 1px solid var(--line);
}
thead th { border-top: 0; vertical-align: bottom; }
td, thead th { white-space: nowrap; }
th:first-child, .limits { text-align: left; }
tbody th { color: inherit; font-size: inherit; }
.model > * { border-top-style: dotted; }
.model th { padding-left: 1.8rem; color: var(--quiet); font-weight: 400; }
.limits { width: 24rem; white-space: normal; }
.limits ul { margin: 0; padding: 0; list-style: none; }
button {
    padding: 0; border: 0; background: none; color: inherit; font: inherit;
    text-align: inherit; cursor: pointer;
}
button[aria-expanded]::before {
    content: "\25b8"; display: inline-block; width: 1.3rem;
    color: var(--quiet);
}
button[aria-expanded="true"]::before { content: "\25be"; }
[aria-sort="ascending"] button::after { content: " \2191"; }
[aria-sort="descending"] button::after { content: " \2193"; }
:focus-visible { outline: 2px solid var(--used); outline-offset: 2px; }
.bar {
    display: flex; height: .5rem; margin: .2rem 0 .3rem; overflow: hidden;
    border-radius: .25rem; background: var(--track);
}
.bar span { background: var(--used); }
.bar span + span { background: var(--kept); }
.near span { background: var(--near); }
.full span { background: var(--full); }
.words { font-weight: 600; }
@media (max-width: 64rem) {
    #headline { grid-template-columns: repeat(2, 1fr); }
    table, tbody, tr, th, td { display: block; width: auto; }
    thead {
        position: absolute; width: 1px; height: 1px; overflow: hidden;
        clip-path: inset(50%);
    }
    tbody th, tbody td, .model > * { border: 0; padding: .15rem 0; }
    tbody tr + tr { margin-top: .5rem; border-top: 1px solid var(--line); }
    tbody th { text-align: left; }
    tbody td:not(.limits) { display: flex; justify-content: space-between; }
    tbody td:not(.limits)::before {
        content: attr(data-title); color: var(--quiet);
    }
    .limits { width: auto; }
    tbody td:empty { display: none; }
    .model { padding-left: 1.3rem; }
    .model th { padding-left: 0; }
}
</style>
</head>
<body>
<header>
<h1>keystile <span id="zone" class="quiet"></span></h1>
<p id="updated"></p>
</header>
<p id="note" role="alert" hidden></p>
<noscript><p>This page shows its figures with JavaScript. Without it, ask this
address for <a href="?format=json">?format=json</a>.</p></noscript>
<main>
<h2 id="headline-title">All clients together</h2>
<dl id="headline" aria-labelledby="headline-title"></dl>
<h2 id="clients-title">Clients</h2>
<div class="panel"><table id="clients" role="table"
    aria-labelledby="clients-title"></table>
<p id="left-out" class="quiet" hidden></p></div>
<h2 id="refusals-title">Refused requests</h2>
<div class="panel"><table id="refusals" role="table"
    aria-labelledby="refusals-title"></table></div>
<h2 id="zone-title">Shared memory and state</h2>
<dl id="zone-facts" aria-labelledby="zone-title"></dl>
</main>
<script type="application/json" id="status">)html";

constexpr std::string_view kEnd = R"html(</script>
</body>
</html>
)html";

}  // namespace

// No script can be closed, nor another begun, by what the JSON holds: it is
// without "<".
void write_status_page(const ZoneReport &report, TextSink &sink) noexcept {
    sink.put(kBegin);
    write_status_json(report, sink);
    sink.put("</script>\n<script>\n");
    sink.put(kStatusPageScript);
    sink.put(kEnd);
}

}  // namespace keystile
