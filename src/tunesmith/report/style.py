"""How the report looks: one sheet for light, dark and paper. The charts take their colours from its variables."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfc; --ink: #1b1d21; --soft: #5d636e; --faint: #8b919b; --line: #e4e5e2; --wash: #f5f5f2;
  --tuned: #1f5fbf; --may: #c9dbf5; --base: #8a8f98; --held: #c2571a; --good: #1c7a46; --bad: #b3261e;
  --sans: Inter, "Segoe UI Variable Text", "Segoe UI", -apple-system, BlinkMacSystemFont, Roboto, "Helvetica Neue",
    "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e6e7e9; --soft: #a3a9b3; --faint: #7c828c; --line: #2d3036; --wash: #1d2024;
    --tuned: #79acf7; --may: #27415f; --base: #8d939d; --held: #eb9a5f; --good: #62c98f; --bad: #f2877e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.6 var(--sans);
  text-rendering: optimizeLegibility;
  -webkit-font-smoothing: antialiased; font-feature-settings: "cv11", "ss03"; }
main { max-width: 912px; margin: 0 auto; padding: 64px 36px 96px; }
header .kind { margin: 0 0 10px; color: var(--faint); font-size: 13px; letter-spacing: .01em; }
header .status { display: inline-block; margin-left: 10px; padding: 1px 9px; border: 1px solid currentColor;
  border-radius: 99px; font-size: 12px; font-weight: 550; }
.status.ok { color: var(--good); } .status.failed { color: var(--bad); } .status.interrupted { color: var(--held); }
h1 { margin: 0; font-size: 34px; line-height: 1.2; font-weight: 650; letter-spacing: -.022em;
  overflow-wrap: anywhere; }
.answer { margin: 22px 0 0; max-width: 43em; font-size: 20px; line-height: 1.5; letter-spacing: -.008em;
  text-wrap: pretty; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); margin: 40px 0 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.figures div { padding: 18px 20px 17px 0; }
.figures div + div { padding-left: 20px; border-left: 1px solid var(--line); }
.figures dt { color: var(--soft); font-size: 13px; }
.figures dd { margin: 3px 0 0; font-size: 27px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures small { display: block; white-space: normal; letter-spacing: 0;
  margin-top: 3px; color: var(--faint); font-size: 13px; line-height: 1.4; }
section { margin-top: 64px; }
h2 { margin: 0 0 18px; font-size: 21px; line-height: 1.3; font-weight: 640; letter-spacing: -.014em; }
h3 { margin: 28px 0 10px; font-size: 15px; font-weight: 620; }
h4 { margin: 0 0 5px; color: var(--soft); font-size: 12.5px; font-weight: 550; }
p { margin: 0 0 12px; max-width: 44em; text-wrap: pretty; }
.note { margin: 14px 0 0; color: var(--soft); font-size: 13.5px; }
.note + .note { margin-top: 4px; }
.absent { color: var(--faint); font-style: italic; }
small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.45; font-weight: 400; }
code, pre { font-family: var(--mono); font-size: 12.8px; overflow-wrap: anywhere; }
pre { margin: 0 0 18px; padding: 15px 18px; overflow-x: auto; background: var(--wash); border: 1px solid var(--line);
  border-radius: 8px; line-height: 1.65; }
pre code { white-space: pre; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: 9px 18px 9px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
thead th { padding-top: 0; color: var(--soft); font-size: 12.5px; vertical-align: bottom; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.pairs th { width: 15.5em; color: var(--soft); } .pairs td { overflow-wrap: anywhere; }
.chosen td:nth-child(2) { white-space: nowrap; } .chosen td:nth-child(3) { color: var(--soft); }
.compared { table-layout: fixed; min-width: 780px; }
.compared th:nth-child(1) { width: 25%; } .compared th:nth-child(2), .compared th:nth-child(3) { width: 9.5%; }
.compared th:nth-child(4) { width: 16.5%; } .compared th:nth-child(5) { width: 24.5%; }
.compared th[scope=row] { font-weight: 600; }
.scale { display: flex; justify-content: space-between; width: 190px;
  color: var(--faint); font-size: 11.5px; line-height: 1.3; }
.compared b { font-weight: 650; }
.verdict { font-weight: 600; white-space: nowrap; } .verdict small { white-space: normal; min-width: 8.5em; }
.better { color: var(--good); } .worse { color: var(--bad); } .same { color: var(--soft); white-space: normal; }
figure { margin: 0; overflow-x: auto; }
.grids { display: flex; flex-wrap: wrap; gap: 24px; }
.grids figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
.grids img { image-rendering: pixelated; min-width: 256px; max-width: 100%; height: auto; border-radius: 4px; }
.measures { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 26px 30px; }
svg { display: block; overflow: visible; } svg text { font-family: var(--sans); }
svg.loss { width: 100%; min-width: 540px; height: auto; } svg.interval { width: 190px; height: 21px; margin-top: 2px; }
.grid { stroke: var(--line); } .axis { stroke: var(--faint); }
.tick { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.name { fill: var(--faint); font-size: 12px; }
polyline { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.raw { stroke: var(--tuned); stroke-width: 1; opacity: .26; } .smooth { stroke: var(--tuned); stroke-width: 2.2; }
.held { stroke: var(--held); stroke-width: 1.8; } polyline.held { stroke-dasharray: 1 5; }
.held-dot { fill: var(--held); stroke: var(--paper); stroke-width: 1.5; }
.best { fill: none; stroke: var(--held); stroke-width: 1.6; }
.best-name { fill: var(--held); font-size: 12.5px; font-weight: 600; paint-order: stroke; stroke: var(--paper);
  stroke-width: 5px; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 22px; margin-bottom: 12px; color: var(--soft); font-size: 13px; }
.key::before { content: ""; display: inline-block; width: 20px; margin-right: 8px; vertical-align: 4px;
  border-top: 2px solid var(--tuned); }
.key-raw::before { border-top-width: 1px; opacity: .5; }
.key-held::before { width: 8px; height: 8px; border: 0; border-radius: 50%; background: var(--held);
  vertical-align: 0; }
.rail { stroke: var(--line); stroke-width: 2; stroke-linecap: round; } .may { fill: var(--may); }
.way { stroke: var(--tuned); stroke-width: 1.5; } .is { fill: var(--tuned); stroke: var(--paper); stroke-width: 1.5; }
.was { fill: var(--paper); stroke: var(--base); stroke-width: 2; }
main.comparison { max-width: 1120px; }
.methods { min-width: 960px; font-size: 14.5px; } .methods td, .methods th { padding-right: 14px; }
.methods tbody th { font-weight: 600; white-space: nowrap; } .methods thead small { color: var(--faint); }
.methods td small, .methods tbody th small { white-space: nowrap; }
.methods .refused td { text-align: left; color: var(--soft); } .methods .refused small { white-space: normal; }
.methods .chosen-row { background: var(--wash); } .pick { margin-left: 8px; padding: 0 8px; border-radius: 99px;
  border: 1px solid var(--good); color: var(--good); font-size: 11.5px; font-weight: 550; }
svg.trade { width: 100%; height: auto; } .front { stroke: var(--tuned); stroke-width: 1.2; opacity: .45; }
.reach { stroke: var(--faint); stroke-width: 1.2; opacity: .55; } .level { stroke: var(--base); stroke-dasharray: 2 5; }
.best-dot { fill: var(--tuned); stroke: var(--paper); stroke-width: 1.5; }
.beaten-dot { fill: var(--paper); stroke: var(--base); stroke-width: 2; }
.level-name { fill: var(--soft); font-size: 12px; } .dot-name { fill: var(--soft); font-size: 13px;
  paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.trade .best-name { fill: var(--ink); font-size: 13px; } .doubts { padding-left: 1.2em; max-width: 46em; }
.doubts li { margin-bottom: 6px; }
svg.parallel { width: 100%; height: auto; } svg.bars { width: 100%; max-width: 640px; height: auto; }
.parallel .tick { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.trial { fill: none; stroke: var(--base); stroke-width: 1.3; opacity: .4; stroke-linejoin: round; }
.trial.lost { stroke-dasharray: 2 5; } .trial.good { stroke: var(--tuned); stroke-width: 1.8; opacity: .75; }
.trial.best { stroke: var(--held); stroke-width: 3; opacity: 1; } .bar { fill: var(--tuned); opacity: .8; }
.key-best::before { border-color: var(--held); } .key-good::before { border-color: var(--tuned); }
.key-tried::before, .key-lost::before { border-color: var(--base); } .key-lost::before { border-top-style: dashed; }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 8px 48px; }
.half { min-width: 0; } .half h3 { margin-top: 0; }
.confusion th, .confusion td { padding: 8px 12px; border: 0; }
.confusion th[scope=row] { padding-left: 0; color: var(--soft); }
.confusion thead th { padding-top: 0; padding-bottom: 6px; }
.cell { border: 2px solid var(--paper) !important; border-radius: 6px;
  background: color-mix(in srgb, var(--tuned) calc(var(--share) * .45), var(--wash)); }
.cell.right { font-weight: 650; }
.card { margin: 0 0 20px; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; break-inside: avoid; }
.card h3 { margin: 0; padding: 13px 20px 0; color: var(--faint); font-size: 12.5px; font-weight: 500; }
.prompt { padding: 3px 20px 14px; color: var(--soft); } .passage { margin: 0; max-width: none;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.prompt .passage { font-size: 14px; }
.answers { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); border-top: 1px solid var(--line);
  background: var(--wash); }
.said { padding: 13px 20px 15px; } .said + .said { border-left: 1px solid var(--line); }
.mark { color: var(--good); }
.proof { margin: 0; padding: 0; list-style: none; }
.proof li { max-width: none; display: flex; gap: 13px; padding: 8px 0;
  border-bottom: 1px solid var(--line); }
.proof .sign { width: 1em; font-weight: 700; } .held .sign { color: var(--good); }
.broken, .broken .sign { color: var(--bad); }
.setting { display: inline-block; margin-right: 20px; } .setting i { color: var(--soft); font-style: normal; }
ul { margin: 0; padding-left: 1.2em; } li { max-width: 52em; }
footer { margin-top: 72px; padding-top: 16px; border-top: 1px solid var(--line); color: var(--faint);
  font-size: 13px; }
@media (max-width: 640px) { main { padding: 32px 18px 64px; } .answers { grid-template-columns: 1fr; }
  .said + .said { border-left: 0; border-top: 1px solid var(--line); }
.figures div + div { padding-left: 0; border-left: 0; } }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --faint: #666; --line: #ccc; --wash: #f6f6f6;
    --tuned: #1f5fbf; --may: #c9dbf5; --base: #777; --held: #b04a12; --good: #14663a; --bad: #a1201a; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; } .compared { min-width: 0; }
  .halves { grid-template-columns: 1fr 1fr; gap: 24px; } .confusion th, .confusion td { padding: 6px 8px; }
  section { margin-top: 30pt; }
  h2, h3 { break-after: avoid; } tr, figure, .half, pre { break-inside: avoid; } pre code { white-space: pre-wrap; }
}
"""
