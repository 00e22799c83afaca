"use strict";
const get = (id) => document.getElementById(id);
const { name, line } = get("form").elements;
const people = new Map();
let nodes = [], source;

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

function showPeople() {
  for (const [key, one] of people) if (Date.now() - one.seen > 40000) people.delete(key);
  const items = nodes.map((node) => {
    const here = [...people.values()].filter((one) => one.node === node);
    const names = here.map((one) => one.name).sort().join(", ");
    return element("li", element("strong", node), " ", names || element("small", "nobody"));
  });
  get("people").replaceChildren(...items);
}

function add(...children) {
  const list = get("lines");
  const item = element("li", ...children);
  list.append(item);
  while (list.children.length > 200) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

function onSaid(event) {
  const { from, what } = JSON.parse(event.data);
  if (what.line !== undefined) {
    return add(element("strong", what.name), " ", element("small", "on " + from), " ", what.line);
  }
  const key = from + " " + what.id;
  if (what.here !== undefined) people.set(key, { node: from, name: what.here, seen: Date.now() });
  else people.delete(key);
  showPeople();
}

function state(name, text) {
  get("state").dataset.state = name;
  get("state").firstElementChild.textContent = text;
}

function connect() {
  if (source) source.close();
  // Of its own, so that the end of the stream before does not end this one.
  const id = Math.random().toString(36).slice(2);
  const opened = new EventSource("/talk/lines?" + new URLSearchParams({ name: name.value, id }));
  source = opened;
  opened.addEventListener("self", (event) => {
    get("self").textContent = "node: " + event.data;
    // Who went while nothing was heard is not told of; who is here says so.
    people.clear();
    state("live", "live");
  });
  opened.addEventListener("nodes", (event) => { nodes = JSON.parse(event.data); showPeople(); });
  opened.addEventListener("said", onSaid);
  opened.addEventListener("lagged", (event) => add(element("small", event.data + " messages were missed")));
  opened.onerror = () => {
    state("lost", "reconnecting");
    if (opened === source && opened.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

get("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({ name: name.value, line: line.value });
  try {
    const answer = await fetch("/talk", { method: "POST", body });
    if (!answer.ok) throw new Error(answer.status);
    line.value = "";
    get("failed").hidden = true;
  } catch {
    get("failed").hidden = false;
  }
  line.focus();
});
// Under another name one is another person here.
name.addEventListener("change", connect);
setInterval(showPeople, 10000);
state("still", "connecting");
connect();
