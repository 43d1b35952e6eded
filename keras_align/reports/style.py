"""How a report looks: dark and light, on a telephone and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --surface: #ffffff; --raised: #f5f6f8; --text: #1b1f24; --muted: #545c66;
  --line: #d6dae0; --queries: #0072b2; --keys: #d55e00; --heat: #0072b2;
  --most: 0.62; --better: #00664b; --worse: #a33c00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --surface: #14171b; --raised: #1e2329; --text: #e8eaed; --muted: #a8b0ba;
    --line: #3a424c; --queries: #56b4e9; --keys: #f0904a; --heat: #56b4e9;
    --most: 0.55; --better: #4fd0a8; --worse: #ff9d66;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--surface);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.4rem; }
p { max-width: 44rem; }
.summary { background: var(--raised); border-radius: 8px; padding: 0.2rem 1rem; }
.muted, figcaption, caption { color: var(--muted); font-size: 0.9rem; }
.side-by-side { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
.side-by-side > * { flex: 1 1 20rem; min-width: 0; }
.side-by-side > .scrolling { flex: 0 1 auto; max-width: 100%; margin: 0.2rem 0; }
.scrolling { overflow-x: auto; margin: 0.6rem 0; }
.scrolling:focus-visible { outline: 2px solid var(--queries); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.3rem; }
th, td {
  padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; white-space: nowrap;
}
th { text-align: left; font-weight: 600; }
tbody th { font-weight: 400; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; }
.wrapping td, .wrapping th { white-space: normal; overflow-wrap: anywhere; }
.heat td, .heat th { border: 1px solid var(--surface); padding: 0.2rem 0.3rem; }
.heat td {
  text-align: right; font-size: 0.8rem; background: color-mix(
    in srgb, var(--heat) calc(var(--share, 0%) * var(--most)), transparent
  );
}
.better { color: var(--better); font-weight: 600; }
.worse { color: var(--worse); font-weight: 600; }
figure { margin: 0.6rem 0; }
svg { width: 100%; height: auto; max-width: 26rem; display: block; }
details { margin: 0.4rem 0; }
summary { cursor: pointer; }
svg text { fill: var(--muted); font: 11px system-ui, sans-serif; }
.axis { stroke: var(--line); fill: none; }
.diagonal { stroke: var(--muted); stroke-dasharray: 4 3; }
.query { fill: var(--queries); fill-opacity: 0.65; }
.key { fill: none; stroke: var(--keys); stroke-width: 1.2; }
.accuracy { fill: var(--queries); }
.confidence { fill: none; stroke: var(--keys); stroke-width: 1.6; }
blockquote { margin: 0; }
.changes { list-style: none; padding: 0; }
.changes li { padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
pre { background: var(--raised); padding: 0.8rem; margin: 0; font-size: 0.8rem; }
@media print { .scrolling { overflow: visible; } }
"""
