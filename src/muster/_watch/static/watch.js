// Put what the server tells in place, where it differs: what is focused, open or scrolled stays as it is.
"use strict";

const connection = document.getElementById("connection");
const address = document.body.dataset.live;
let source = null;
let isOver = false;
let heardAt = Date.now();

const SILENT_AFTER = 12000; // the server says at least every 5 s that it is there

function sync(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || now.id !== next.id) {
    now.replaceWith(next.cloneNode(true));
  } else if (now.nodeType === Node.ELEMENT_NODE) {
    syncAttributes(now, next);
    syncChildren(now, next);
  } else if (now.nodeValue !== next.nodeValue) {
    now.nodeValue = next.nodeValue;
  }
}

function syncAttributes(now, next) {
  for (const { name, value } of [...next.attributes]) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && !(now.nodeName === "DETAILS" && name === "open")) now.removeAttribute(name);
  }
}

function syncChildren(now, next) {
  const before = [...now.childNodes], after = [...next.childNodes];
  after.forEach((node, at) => (at < before.length ? sync(before[at], node) : now.append(node.cloneNode(true))));
  before.slice(after.length).forEach((node) => node.remove());
}

function hear() {
  heardAt = Date.now();
  say("");
}

function show(event) {
  for (const [name, html] of Object.entries(JSON.parse(event.data))) {
    const place = document.getElementById(name);
    if (name === "title") document.title = html;
    else if (place) {
      const next = document.createElement("template");
      next.innerHTML = html;
      syncChildren(place, next.content);
    }
  }
  hear();
}

function timeOfDay(at) {
  return new Date(at).toTimeString().slice(0, 8);
}

function say(text, { isWrong = true } = {}) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.classList.toggle("lost", isWrong && text !== "");
}

function end() {
  isOver = true;
  disconnect();
  const run = location.pathname.split("/")[2] ?? "";
  say("Nobody serves this page any more, as its run has ended. To see it again, type: muster watch " + run, { isWrong: false });
}

function connect() {
  if (!address || source || isOver) return;
  source = new EventSource(document.hidden ? address + "?only=title" : address);
  heardAt = Date.now();
  source.onmessage = show;
  source.addEventListener("alive", hear);
  source.addEventListener("end", end);
  source.onopen = hear;
  source.onerror = () => {
    say("Connection lost, trying again. This is how it was at " + timeOfDay(heardAt) + ".");
    if (source.readyState === EventSource.CLOSED) setTimeout(reconnect, 3000);
  };
}

function disconnect() {
  if (source) source.close();
  source = null;
}

function reconnect() {
  disconnect();
  connect();
}

function watchForSilence() {
  if (source && source.readyState === EventSource.OPEN && Date.now() - heardAt > SILENT_AFTER) {
    say("No news since " + timeOfDay(heardAt) + ": the server, or the way to it, is silent.");
  }
}

document.addEventListener("visibilitychange", reconnect);
setInterval(watchForSilence, 1000);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", reconnect);
connect();
