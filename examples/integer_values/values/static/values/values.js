// The page: what the binding says is shown, and what is clicked is asked of the binding.
"use strict";

const table = document.getElementById("values");
const status = document.getElementById("status");
let socket = null;

function ask(action, pk, data) {
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ stream: "intval", payload: { action, pk, data } }));
}

function row(pk) {
  const found = document.getElementById(`value-${pk}`);
  if (found) return found;
  const made = document.getElementById("row").content.firstElementChild.cloneNode(true);
  const add = (step) => ask("update", pk, { value: Number(made.dataset.value) + step });
  made.id = `value-${pk}`;
  made.querySelector(".less").onclick = () => add(-1);
  made.querySelector(".more").onclick = () => add(1);
  made.querySelector(".delete").onclick = () => ask("delete", pk);
  table.append(made);
  return made;
}

function show(pk, { name, value }) {
  const shown = row(pk);
  shown.dataset.value = value;
  shown.querySelector(".name").textContent = name;
  shown.querySelector(".value").textContent = value;
}

function take({ action, pk, data }) {
  if (action === "delete") document.getElementById(`value-${pk}`)?.remove();
  else show(pk, data);
}

async function load(events) {
  // What was missed while there was no socket; then what came meanwhile.
  const { values } = await (await fetch("/values/")).json();
  table.replaceChildren();
  values.forEach((value) => show(value.pk, value));
  events.forEach(take);
}

function setStatus(state) {
  status.textContent = status.dataset.state = state;
}

function connect(failures = 0) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  let waiting = []; // events that come before the values are loaded
  socket = new WebSocket(`${scheme}://${location.host}/binding/`);
  socket.onopen = async () => {
    failures = 0;
    await load(waiting);
    waiting = null;
    setStatus("connected");
  };
  socket.onmessage = (message) => {
    const { payload } = JSON.parse(message.data);
    if (waiting) waiting.push(payload);
    else take(payload);
  };
  socket.onclose = () => {
    setStatus("reconnecting");
    const ceiling = Math.min(10000, 250 * 2 ** failures);
    setTimeout(connect, Math.random() * ceiling, failures + 1); // spread: not all come back at once
  };
}

document.getElementById("new").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("create", undefined, { name: event.target.name.value });
  event.target.reset();
});

connect();
