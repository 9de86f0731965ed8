// The page of a room: shows what is said, sends what is typed, comes back when the socket is lost.
"use strict";

const log = document.getElementById("log");
const status = document.getElementById("status");
const text = document.getElementById("text");
const name = JSON.parse(document.getElementById("name").textContent);

// Threads announce messages in another order than they save them: a page that comes back asks for
// the last few again, and every page puts each message in its place, once.
const OVERLAP = 20;

let latest = 0; // the id of the newest message shown

function show(event) {
  const line = document.createElement("li");
  line.className = event.kind;
  let later = null; // the line that it belongs before
  if (event.kind === "message") {
    line.id = `message-${event.id}`;
    if (document.getElementById(line.id)) return;
    line.dataset.id = event.id;
    if (event.id < latest) later = [...log.children].find((other) => other.dataset.id > event.id);
    latest = Math.max(latest, event.id);
    const speaker = document.createElement("b");
    speaker.textContent = event.name;
    const said = document.createElement("span");
    said.textContent = event.text;
    line.append(speaker, said);
    line.classList.toggle("own", event.name === name);
  } else {
    line.textContent = `${event.name} ${event.kind}`;
  }
  log.insertBefore(line, later);
  log.scrollTop = log.scrollHeight;
}

const bridge = new channels.WebSocketBridge();

bridge.onstatus = ({ state }) => {
  status.textContent = status.dataset.state = state;
};

bridge.listen((events) => {
  for (const event of events) show(event);
});

document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim()) return;
  bridge.socket.send(text.value); // as it is, not as JSON; it waits while there is no connection
  text.value = "";
});

JSON.parse(document.getElementById("events").textContent).forEach(show);
bridge.connect(() => {
  const query = new URLSearchParams({ name, after: Math.max(0, latest - OVERLAP) });
  return `${location.pathname}?${query}`;
});
