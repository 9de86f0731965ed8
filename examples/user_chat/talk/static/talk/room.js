// The page of a room: shows what is said, sends what is typed, comes back when the socket is lost.
"use strict";

const list = document.getElementById("lines");
const status = document.getElementById("status");
const text = document.getElementById("text");
const user = JSON.parse(document.getElementById("user").textContent);
const DONE = 1000; // the close code after a logout: the server wants no more of this socket
let socket = null;

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

function setStatus(state) {
  status.textContent = status.dataset.state = state;
}

function connect(failures = 0) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}${location.pathname}`);
  socket.onopen = () => {
    failures = 0;
    setStatus("connected");
  };
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onclose = (event) => {
    setStatus("reconnecting");
    if (event.code === DONE) return location.reload(); // leads to the login
    const ceiling = Math.min(10000, 250 * 2 ** failures);
    setTimeout(connect, Math.random() * ceiling, failures + 1); // spread: not all come back at once
  };
}

document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim() || socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ text: text.value }));
  text.value = "";
});

connect();
