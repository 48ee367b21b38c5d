"""How the page looks, in light and in dark, on a desk and on a phone."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1a2233;--mute:#5b6478;--line:#dfe3ea;
--accent:#1f6feb;--up:#13795b;--down:#c62f3b;--floor:#b35900;--soft:rgba(31,111,235,.12)}
@media (prefers-color-scheme:dark){:root{--bg:#0e1320;--card:#171e2e;--ink:#e6eaf3;--mute:#9aa5bd;
--line:#2b3550;--accent:#6ea8ff;--up:#4ccb9f;--down:#ff7b85;--floor:#ffb35c;
--soft:rgba(110,168,255,.16)}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1200px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 12px}
h3{font-size:14px;margin:0 0 8px;color:var(--mute);font-weight:600}
.sub{color:var(--mute);margin:0;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px;
margin-top:16px}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;
margin-top:16px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tile span{color:var(--mute);font-size:13px}
.groups{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:24px 32px}
dl{margin:0;display:grid;grid-template-columns:1fr auto}
dt,dd{margin:0;padding:4px 0;border-bottom:1px solid var(--line)}
dt{cursor:help}dt span{border-bottom:1px dotted var(--mute)}
dd{text-align:right;padding-left:12px;font-variant-numeric:tabular-nums;white-space:nowrap}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:5px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--mute);font-weight:600}
th:first-child,td:first-child,.l{text-align:left}
.up{color:var(--up)}.down{color:var(--down)}
.note{color:var(--mute);font-size:13px;margin:8px 0 0}
.log{max-height:420px;overflow:auto;font:12px/1.6 ui-monospace,Menlo,Consolas,monospace;
white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
svg{display:block;width:100%;min-width:640px;height:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--mute)}
.grid{stroke:var(--line);fill:none}.base{stroke:var(--mute);fill:none;stroke-dasharray:3 3}
.curve{stroke:var(--accent);fill:none;stroke-width:1.6;stroke-linejoin:round}
.area{fill:var(--soft);stroke:none}
.fall{stroke:var(--down);fill:none;stroke-width:1.4}
.floor{stroke:var(--floor);fill:none;stroke-width:1.6}
.price{stroke:var(--mute);fill:none;stroke-width:1}
.mark{fill:var(--floor);fill-opacity:.75}
.buy,.gain{fill:var(--up)}.sell,.loss{fill:var(--down)}
.key{display:inline-block;margin-right:16px;color:var(--mute);font-size:13px}
.key i{display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle;
background:var(--accent)}
.key i.k-floor{background:var(--floor)}.key i.k-fall{background:var(--down)}
.key i.k-price{background:var(--mute)}
.key i.k-buy{background:var(--up);height:9px}.key i.k-sell{background:var(--down);height:9px}
@media (max-width:600px){main{padding:16px 10px 40px}.card{padding:12px}h1{font-size:21px}
.tiles{grid-template-columns:1fr 1fr}svg text{font-size:17px}
.groups{grid-template-columns:1fr}dd{white-space:normal;overflow-wrap:anywhere}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}.log{max-height:none}}
"""
