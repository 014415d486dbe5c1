"""The style sheet of the connect page, and the security headers that let sheet and script in and nothing else."""

import base64
import hashlib
from typing import Final

from shared.operations.page_script import SCRIPT

CSS: Final = """
:root{color-scheme:light dark;--ground:#f5f6f8;--card:#fff;--ink:#1b1f24;--soft:#545d68;--line:#d5dae0;--blue:#0b57b7;
--on-blue:#fff;--good:#17663a;--good-ground:#e4f4ea;--bad:#a3171f;--bad-ground:#fdecec;--wait:#7a4f00;
--wait-ground:#fdf2db}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1d2228;--ink:#e8ebef;--soft:#a5afba;--line:#39414b;
--blue:#8ab8ff;--on-blue:#0c1a2e;--good:#7fd8a2;--good-ground:#16301f;--bad:#ff9d9d;--bad-ground:#3b1a1c;--wait:#f0c674;
--wait-ground:#352a12}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",
Arial,sans-serif;overflow-wrap:break-word}
.skip{position:absolute;left:-100vw}
.skip:focus{left:1rem;top:1rem;background:var(--card);padding:.5rem 1rem;z-index:1}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.25rem;padding-bottom:.8rem}
header p{margin:.15rem 0 0;color:var(--soft)}
h1{font-size:1.5rem;line-height:1.25;margin:0}
h2{font-size:1.1rem;margin:0 0 .6rem}
p{margin:0 0 .6rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1.1rem 1.25rem;
margin:0 0 1rem}
section.good{box-shadow:inset .35rem 0 var(--good)}
section.bad{box-shadow:inset .35rem 0 var(--bad)}
.pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 2rem;align-items:start}
.attention{list-style:none;padding:0}
.attention li{padding:.5rem 0;border-top:1px solid var(--line);margin:0}
.attention li:first-child{border-top:0;padding-top:0}
.attention form{display:block;margin-top:.4rem}
.cause{border-top:1px solid var(--line);padding-top:.7rem;margin-top:.7rem}
h2+.cause{border-top:0;padding-top:0;margin-top:0}
.cause>form{margin-bottom:.4rem}
.find{display:flex;flex-wrap:wrap;gap:.4rem .6rem;align-items:center;margin-top:.7rem}
.find label{color:var(--soft)}
input{font:inherit;color:inherit;background:var(--card);border:1px solid var(--soft);border-radius:.4rem;
padding:.35rem .6rem;min-width:0;flex:1 1 14rem;max-width:24rem}
figure{margin:0}
figcaption{color:var(--soft);font-size:.875rem}
.plot{display:block;width:100%;height:5.5rem}
.bars{fill:var(--blue)}
.fails{fill:var(--bad)}
.days{stroke:var(--line);fill:none;vector-effect:non-scaling-stroke}
.axis{display:flex;margin:0 0 .4rem;font-size:.8rem;color:var(--soft)}
.axis span{flex:1}
.story small{display:inline}
.matrix td,.matrix th{padding:.08rem .75rem .08rem 0}
.matrix thead th{padding-bottom:.3rem}
.matrix tbody th{font-weight:400;font-size:.95rem}
.matrix .mark,.matrix .soft{white-space:nowrap;font-size:.8rem;padding-top:0;padding-bottom:0}
.folds{display:flex;flex-wrap:wrap;gap:0 2rem}
.folds details[open]{flex:1 1 100%}
.row{display:flex;flex-wrap:wrap;gap:.4rem 1.25rem;align-items:center;justify-content:space-between}
.row p{margin:0}
.row button{min-height:2rem;padding:.2rem .8rem}
ol+.actions{margin-top:.8rem}
section>:last-child{margin-bottom:0}
.notice{background:var(--good-ground);color:var(--good);border-radius:.6rem;padding:.7rem 1.25rem;margin:0 0 1rem}
.soft{color:var(--soft)}
.mark{display:inline-block;border-radius:.35rem;padding:.05rem .5rem;font-size:.875rem;font-weight:600;
overflow-wrap:anywhere;background:var(--wait-ground);color:var(--wait)}
.mark.good{background:var(--good-ground);color:var(--good)}
.mark.bad{background:var(--bad-ground);color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:0 0 .9rem}
dt{color:var(--soft)}
dd{margin:0}
h3{font-size:1rem;margin:0 0 .5rem;font-weight:600}
ul,ol{margin:0;padding-left:1.25rem}
li{margin-bottom:.4rem}
li:last-child{margin-bottom:0}
time,.span{white-space:nowrap}
dd small{color:var(--soft)}
table{width:100%;border-collapse:collapse}
th{text-align:left;font-weight:600;font-size:.875rem;color:var(--soft)}
th,td{padding:.45rem .75rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}
tbody th{color:var(--ink);font-size:1rem}
td small,li small{display:block;color:var(--soft)}
li small,td small{overflow-wrap:anywhere}
.mark{overflow-wrap:break-word}
form{margin:0;display:inline-block}
.actions{display:flex;flex-wrap:wrap;gap:.6rem;align-items:flex-start}
button{font:inherit;font-weight:600;border-radius:.4rem;border:1px solid var(--blue);padding:.5rem 1rem;
min-height:2.75rem;white-space:nowrap;cursor:pointer;background:transparent;color:var(--blue)}
td.do{white-space:nowrap}
td.do form{margin:0 .3rem .2rem 0}
tbody th{min-width:9rem}
td.do button,.find button,.cause>form button,.attention button{min-height:2rem;padding:.2rem .8rem}
button.quiet{border-color:var(--soft);color:var(--soft)}
button.main{background:var(--blue);color:var(--on-blue)}
button.danger{border-color:var(--bad);color:var(--bad)}
button:hover{filter:brightness(1.1)}
a{color:var(--blue)}
:focus-visible{outline:3px solid var(--blue);outline-offset:2px}
summary{cursor:pointer;color:var(--blue);padding:.55rem 0}
ol+dl{margin-top:.6rem}
details p{margin-top:.2rem}
code{font:.9em ui-monospace,SFMono-Regular,Consolas,monospace;overflow-wrap:anywhere}
footer{padding-bottom:2.5rem;color:var(--soft);font-size:.875rem}
@media (max-width:44rem){
.pair{display:block}
dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:.5rem}
thead{position:absolute;left:-100vw}
table,tbody,tr,td,tbody th{display:block}
tr{border-bottom:1px solid var(--line);padding:.6rem 0}
tbody tr:last-child{border-bottom:0}
th,td{border:0;padding:.1rem 0}
td:not(:empty)::before{content:attr(data-label) ": ";color:var(--soft);font-size:.875rem}
td.do{padding-top:.4rem}
td.do::before{content:none}
td.do:empty{display:none}
td small{display:inline}
.matrix tr{padding:.35rem 0}
.matrix td{line-height:1.35}
tbody th{min-width:0}
td.do{white-space:normal}
.matrix tbody th{font-weight:600}
.matrix td::before{display:inline-block;min-width:8.5rem}
}
"""


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


#: `form-action` admits https because browsers apply it to redirects too, and a sign-in may pass through the login
#: page of the tenant's own identity provider, whose name nobody here knows.
HEADERS: Final[dict[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_digest(CSS)}'; script-src 'sha256-{_digest(SCRIPT)}'; "
        "form-action 'self' https:; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
