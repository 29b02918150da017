// Keeps the page up to date and gives orders. What is shown is drawn by the scaler, every text in it
// escaped; here newer pieces take the place of older ones.
"use strict";

const FIRST_ROWS = 100;
const SILENCE_MS = 15000;
const RETRY_MS = 10000;
const ANNOUNCE_MS = 5000;
const PATIENCE_MS = 4000;
const HIDDEN_MS = 60000;
const LOST = "connection lost; as of";
const CELL_CLASSES = ["name", "state", "cpu", "spark", "leases", "slots", "tier", "orders"];

const $ = (id) => document.getElementById(id);
const known = { rows: new Map(), order: [], events: new Map(), timeline: [] };
const shownRows = new Map();
const shownEvents = new Map();
let showsAll = false;
let stream = null;
let heardAt = 0;
let losing = null;
let leaving = null;

document.documentElement.classList.add("js");
for (const id of ["controls", "filter", "quiet-switch"]) $(id).hidden = false;

// --- What is shown

function fill(element, html) {
  if (element.innerHTML === html) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && focused.dataset.order ? { ...focused.dataset } : null;
  element.innerHTML = html;
  if (key) {
    const same = [...element.querySelectorAll("[data-order]")].find(
      (one) => one.dataset.order === key.order && one.dataset.id === key.id
    );
    // Pause becomes Resume: the keyboard stays where it was.
    (same || element.querySelector("[data-order]") || element).focus();
  }
}

function take(message, isWhole) {
  if (isWhole && message.version !== document.body.dataset.version) {
    location.reload();
    return;
  }
  for (const [id, html] of Object.entries(message.sections || {})) {
    if (id === "summary") announce(html);
    else if ($(id)) fill($(id), html);
  }
  if (isWhole) known.rows.clear();
  const changedRows = Object.entries(message.rows || {});
  for (const [name, cells] of changedRows) {
    const row = known.rows.get(name) || [];
    for (const [place, html] of Object.entries(cells)) row[place] = html;
    known.rows.set(name, row);
  }
  if (message.order) {
    known.order = message.order;
    const names = new Set(known.order);
    for (const name of known.rows.keys()) if (!names.has(name)) known.rows.delete(name);
  }
  if (message.order || $("filter-text").value) arrangeRows();
  for (const [name, cells] of changedRows) patchRow(name, cells);
  if (message.events) for (const [key, html] of Object.entries(message.events)) known.events.set(key, html);
  if (message.timeline) known.timeline = message.timeline;
  if (message.events || message.timeline) arrangeEvents();
  showToken();
}

function matches(name, words) {
  if (!words.length) return true;
  const state = (known.rows.get(name)[1] || "").replace(/<[^>]*>/g, " ");
  const tier = known.rows.get(name)[6] || "";
  const text = `${name} ${state} ${tier}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function arrangeRows() {
  const words = $("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = known.order.filter((name) => matches(name, words));
  const shown = showsAll ? found : found.slice(0, FIRST_ROWS);
  const body = $("domain-table").tBodies[0];
  const wanted = new Set(shown);
  for (const [name, row] of shownRows) {
    if (wanted.has(name)) continue;
    row.remove();
    shownRows.delete(name);
  }
  let place = body.firstElementChild;
  for (const name of shown) {
    let row = shownRows.get(name);
    if (!row) {
      row = newRow(name);
      shownRows.set(name, row);
    }
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
  const isCut = shown.length < found.length;
  const isFiltered = found.length < known.order.length;
  $("shown").textContent =
    isCut || isFiltered ? `${shown.length} of ${known.order.length} domains shown` : "";
  $("more").hidden = !isCut;
  if (isCut) $("more").textContent = `Show all ${found.length}`;
}

function newRow(name) {
  const row = document.createElement("tr");
  row.dataset.name = name;
  known.rows.get(name).forEach((html, place) => {
    const cell = document.createElement(place ? "td" : "th");
    if (!place) cell.scope = "row";
    cell.className = `c-${CELL_CLASSES[place]}`;
    cell.innerHTML = html;
    row.append(cell);
  });
  return row;
}

function patchRow(name, cells) {
  const row = shownRows.get(name);
  if (row) for (const [place, html] of Object.entries(cells)) fill(row.cells[place], html);
}

function arrangeEvents() {
  const list = $("timeline");
  const wanted = new Set(known.timeline);
  for (const [key, one] of shownEvents) {
    if (wanted.has(key)) continue;
    one.element.remove();
    shownEvents.delete(key);
    known.events.delete(key);
  }
  let place = list.firstElementChild;
  for (const key of known.timeline) {
    const html = known.events.get(key);
    if (html === undefined) continue;
    const before = shownEvents.get(key);
    if (before && before.html === html && before.element === place) {
      place = place.nextElementSibling;
      continue;
    }
    const element = before && before.html === html ? before.element : newEvent(html, before);
    if (before && before.element !== element) {
      if (before.element === place) place = place.nextElementSibling;
      before.element.remove();
    }
    shownEvents.set(key, { html, element });
    list.insertBefore(element, place);
  }
}

function newEvent(html, before) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const element = template.content.firstElementChild;
  if (before && before.element.querySelector("details[open]")) {
    const details = element.querySelector("details");
    if (details) details.open = true;
  }
  if (before && before.element.contains(document.activeElement)) {
    requestAnimationFrame(() => element.querySelector("summary")?.focus());
  }
  return element;
}

let announcedAt = 0;
let waiting = null;
function announce(text) {
  // A screen reader hears of it when it has changed, and not several times a second.
  clearTimeout(waiting);
  const pause = Math.max(0, announcedAt + ANNOUNCE_MS - Date.now());
  waiting = setTimeout(() => {
    const plain = new DOMParser().parseFromString(text, "text/html").body.textContent;
    if ($("summary").textContent === plain) return;
    announcedAt = Date.now();
    $("summary").textContent = plain;
  }, pause);
}

// --- The stream

function setLive(state, text) {
  const live = $("live");
  if (live.dataset.state === state && live.textContent === text) return;
  live.dataset.state = state;
  live.textContent = text;
}

function follow() {
  if (stream) stream.close();
  stream = new EventSource("/api/v1/events");
  heardAt = Date.now();
  const hear = (isWhole) => (event) => {
    heardAt = Date.now();
    clearTimeout(losing);
    losing = null;
    setLive("live", "live");
    take(JSON.parse(event.data), isWhole);
  };
  stream.addEventListener("state", hear(true));
  stream.addEventListener("change", hear(false));
  stream.addEventListener("error", () => {
    // A stream that has become old ends, and the browser is back in two seconds: nothing to tell.
    if (losing === null) losing = setTimeout(() => setLive("lost", LOST), PATIENCE_MS);
    // After an answer that is no stream the browser gives up: too many pages, or an old scaler.
    if (stream.readyState === EventSource.CLOSED) readAnew();
  });
}

// Nobody looks at a hidden page, and a browser has six connections to a server for all its tabs.
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.hidden) {
    leaving = setTimeout(() => {
      stream.close();
      stream = null;
      setLive("static", "as of");
    }, HIDDEN_MS);
  } else if (!stream) follow();
});

async function readAnew() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      take(readPage(page), true);
      clearTimeout(losing);
      losing = null;
      setLive("static", "every 10 s; as of");
    }
  } catch {
    // The scaler is away; `live` says so already.
  }
  setTimeout(() => stream && follow(), RETRY_MS);
}

// The page's own state, out of a document.
function readPage(page) {
  const sections = {};
  for (const id of ["headline", "notices", "capacity", "queue", "cpu-note", "domain-count", "signals",
    "policies", "overrides", "alerts", "clock", "controls"]) {
    sections[id] = page.getElementById(id).innerHTML;
  }
  const rows = {};
  for (const row of page.getElementById("domain-table").tBodies[0].rows) {
    rows[row.dataset.name] = [...row.cells].map((cell) => cell.innerHTML);
  }
  const events = {};
  const timeline = [];
  for (const one of page.getElementById("timeline").children) {
    events[one.dataset.key] = one.outerHTML;
    timeline.push(one.dataset.key);
  }
  return { sections, rows, order: Object.keys(rows), events, timeline, version: page.body.dataset.version };
}

setInterval(() => {
  // A connection that died without a word: the scaler says something each second.
  if (stream && stream.readyState === EventSource.OPEN && Date.now() - heardAt > SILENCE_MS) {
    setLive("lost", LOST);
    follow();
  }
}, 5000);

// --- Orders

const dialog = $("order");
let order = null;

const ORDERS = {
  pause: () => ({
    title: "Pause the pool?",
    text: "Nothing is started or drained. What is under way ends by itself.",
    fields: ["seconds", "reason", "author"],
    send: (given) => call("POST", "/api/v1/overrides", { kind: "pause", ...given }),
  }),
  resume: () => ({
    title: "Resume?",
    text: "Every pause is lifted; the policies decide again.",
    fields: [],
    send: () => call("POST", "/api/v1/resume", {}),
  }),
  hold: (data) => ({
    title: "Hold the pool at a number",
    text: `So many domains serve, whatever the policies wish; at most ${data.most}.`,
    fields: ["domains", "seconds", "reason", "author"],
    most: data.most,
    send: (given) => call("POST", "/api/v1/overrides", { kind: "hold", ...given }),
  }),
  drain: (data) => ({
    title: `Drain ${data.domain}?`,
    text: "It finishes its jobs, is shut down and kept off until the order is removed.",
    fields: ["seconds", "reason", "author"],
    send: (given) =>
      call("POST", "/api/v1/overrides", { kind: "drain", domain: data.domain, ...given }),
  }),
  remove: (data) => ({
    title: `Remove ${data.text}?`,
    text: "The order is lifted at once.",
    fields: [],
    send: () => call("DELETE", `/api/v1/overrides/${encodeURIComponent(data.id)}`),
  }),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-order]");
  if (!button) return;
  if (button.dataset.order === "forget") {
    sessionStorage.removeItem("token");
    showToken();
    return;
  }
  ask(ORDERS[button.dataset.order](button.dataset));
});

const needsToken = () => document.body.dataset.needsToken === "yes";

function showToken() {
  const forget = document.querySelector('[data-order="forget"]');
  if (forget) forget.hidden = !sessionStorage.getItem("token");
}

function ask(wanted) {
  order = wanted;
  $("order-title").textContent = wanted.title;
  $("order-text").textContent = wanted.text;
  $("order-error").textContent = "";
  for (const name of ["domains", "seconds", "reason", "author"]) {
    $(`f-${name}`).hidden = !wanted.fields.includes(name);
  }
  $("o-domains").max = wanted.most || "";
  $("o-domains").value = "";
  $("o-reason").value = "";
  $("o-author").value = sessionStorage.getItem("author") || "";
  $("f-token").hidden = !needsToken() || Boolean(sessionStorage.getItem("token"));
  $("o-token").value = "";
  $("order-give").disabled = false;
  dialog.showModal();
  const first = [...dialog.querySelectorAll(".field:not([hidden]) input, .field:not([hidden]) select")];
  (first[0] || $("order-give")).focus();
}

function given() {
  const told = {};
  if (order.fields.includes("domains")) {
    const text = $("o-domains").value.trim();
    if (!/^\d+$/.test(text)) throw new Error("Domains: must be a whole number, 0 or more.");
    told.domains = Number(text);
  }
  if (order.fields.includes("seconds") && $("o-seconds").value) {
    told.seconds = Number($("o-seconds").value);
  }
  if (order.fields.includes("reason") && $("o-reason").value) told.reason = $("o-reason").value;
  if (order.fields.includes("author")) {
    const author = $("o-author").value.trim();
    sessionStorage.setItem("author", author);
    told.author = author || "status page";
  }
  return told;
}

$("order-cancel").addEventListener("click", () => dialog.close());

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("order-error").textContent = "";
  if (!$("f-token").hidden) sessionStorage.setItem("token", $("o-token").value.trim());
  try {
    const body = given();
    $("order-give").disabled = true;
    await order.send(body);
    dialog.close();
  } catch (error) {
    $("order-error").textContent = error.message;
  } finally {
    $("order-give").disabled = false;
    showToken();
  }
});

async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem("token");
  // In a header, never in an address: addresses end up in logs and histories.
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    answer = await fetch(path, { method, headers, body: text, cache: "no-store" });
  } catch (error) {
    // Also a token that is no header, such as one with a line end in it.
    throw new Error(error instanceof TypeError && token && !/^[\x21-\x7e]+$/.test(token)
      ? forgotten("This cannot be a token.")
      : "The scaler does not answer; nothing was ordered.");
  }
  if (answer.ok) return;
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error(forgotten("The token is missing or wrong."));
  throw new Error(told.error || `Refused with HTTP status ${answer.status}.`);
}

function forgotten(text) {
  sessionStorage.removeItem("token");
  $("f-token").hidden = false;
  $("o-token").focus();
  return text;
}

// --- The reader's own wishes

$("filter").addEventListener("submit", (event) => event.preventDefault());
$("filter-text").addEventListener("input", arrangeRows);
$("more").addEventListener("click", () => {
  showsAll = true;
  arrangeRows();
});
$("quiet").addEventListener("change", () => {
  $("timeline").classList.toggle("without-quiet", !$("quiet").checked);
});

// The document is the first state; the stream goes on from there.
(function begin() {
  const first = readPage(document);
  $("domain-table").tBodies[0].replaceChildren();
  $("timeline").replaceChildren();
  take(first, true);
  follow();
})();
