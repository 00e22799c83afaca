"use strict";
const get = (id) => document.getElementById(id);
const list = get("node-list");
const entries = new Map([...list.children].map((li) => [li.dataset.name, li]));
const date = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
let self = get("self").textContent.replace("node: ", "");

function show(li, node) {
  li.dataset.name = node.name;
  li.classList.toggle("here", node.name === self);
  const link = li.querySelector("a");
  if (link.getAttribute("href") !== node.url) link.setAttribute("href", node.url);
  set(link, node.name);
  const time = li.querySelector("time");
  const since = new Date(node.since);
  time.dateTime = since.toISOString();
  set(time, date.format(since));
  const digest = node.release ? node.release.digest : "";
  const code = li.querySelector("code");
  code.title = digest;
  set(code, digest.slice(0, 12) || "none yet");
}

let lost = 0;

function state(name, text) {
  get("state").dataset.state = name;
  set(get("state").firstElementChild, text);
  // A short break, as when the code changes, is not worth a notice.
  if (name !== "lost") { clearTimeout(lost); lost = 0; get("lost").hidden = true; }
  else if (!lost) lost = setTimeout(() => { get("lost").hidden = false; }, 3000);
}

function onView(event) {
  const { nodes } = JSON.parse(event.data);
  const names = new Set(nodes.map((node) => node.name));
  for (const [name, li] of entries) {
    if (!names.has(name)) { li.remove(); entries.delete(name); }
  }
  nodes.forEach((node, at) => {
    let li = entries.get(node.name);
    if (!li) {
      li = get("entry").content.firstElementChild.cloneNode(true);
      li.className = "new";
      entries.set(node.name, li);
    }
    show(li, node);
    if (list.children[at] !== li) list.insertBefore(li, list.children[at] || null);
    if (node.name === self && node.release) {
      get("newer").hidden = node.release.id === get("release").dataset.id;
    }
  });
  set(get("count"), nodes.length + (nodes.length === 1 ? " node" : " nodes"));
  state("live", "live");
}

function connect() {
  const source = new EventSource("/updates");
  source.addEventListener("self", (event) => {
    self = event.data;
    set(get("self"), "node: " + self);
  });
  source.addEventListener("view", onView);
  source.onerror = () => {
    state("lost", "reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

for (const time of list.querySelectorAll("time")) set(time, date.format(new Date(time.dateTime)));
state("still", "connecting");
connect();
