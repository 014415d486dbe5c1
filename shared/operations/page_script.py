"""The few lines of script of the connect page, which works without: times of the reader's own zone, and a fresh page.

A time keeps its UTC beside it. While something is at work the page is loaded anew, unless somebody has scrolled, opened
something or stands on a control. Pure.
"""

from typing import Final

SCRIPT: Final = """
(() => {
const two = n => String(n).padStart(2, "0");
for (const at of document.querySelectorAll("time[datetime]")) {
const d = new Date(at.dateTime), utc = at.dateTime.slice(0, 16).replace("T", " ");
const day = d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());
const own = day + " " + two(d.getHours()) + ":" + two(d.getMinutes());
if (at.className === "ago") at.title = own + " (" + utc + " UTC)";
else at.textContent = own + " (" + (utc.startsWith(day) ? utc.slice(11) : utc) + " UTC)";
}
const fresh = document.body.dataset.fresh;
if (fresh) setInterval(() => {
const is = document.activeElement;
if (scrollY < 200 && !document.querySelector("details[open]") && (!is || is === document.body)) location.replace(fresh);
}, 15000);
})();
"""
