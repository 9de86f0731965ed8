// The page of a room: shows what is said, sends what is typed, comes back when the socket is lost.
"use strict";

const list = document.getElementById("lines");
const status = document.getElementById("status");
const text = document.getElementById("text");
const user = JSON.parse(document.getElementById("user").textContent);
const LOGGED_OUT = 1000; // the close code after a logout: the server wants no more of this socket

function add(kind, ...content) {
  const line = document.createElement("li");
  line.className = kind;
  line.append(...content);
  list.append(line);
  list.scrollTop = list.scrollHeight;
  return line;
}

function show({ id, by, text }) {
  if (document.getElementById(`line-${id}`)) return; // it comes twice after a connect
  const name = document.createElement("b");
  name.textContent = by;
  const line = add("line", name, text);
  line.id = `line-${id}`;
  line.classList.toggle("own", by === user);
}

function take(event) {
  event.lines?.forEach(show);
  if (event.line) show(event.line);
  if (event.joined) add("event", `${event.joined} joined`);
  if (event.left) add("event", `${event.left} left`);
}

const bridge = new channels.WebSocketBridge({ finalCodes: [LOGGED_OUT] });

bridge.onstatus = ({ state, code }) => {
  status.textContent = status.dataset.state = state;
  if (code === LOGGED_OUT) location.reload(); // leads to the login
};

bridge.listen(take);

document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  // What is said while there is no connection is sent as soon as there is one.
  if (text.value.trim() && bridge.send({ text: text.value })) text.value = "";
});

bridge.connect(location.pathname);
