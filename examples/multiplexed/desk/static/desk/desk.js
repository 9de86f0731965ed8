// The page: one socket, and for each stream of it a function that shows what comes.
"use strict";

const element = (id) => document.getElementById(id);
let socket = null;

function send(stream, payload) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ stream, payload }));
}

function showTask(pk, { title, is_done }) {
  const shown = element(`task-${pk}`) || document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = is_done;
  box.onchange = () => send("tasks", { action: "update", pk, data: { is_done: box.checked } });
  label.append(box, title);
  label.classList.toggle("done", is_done);
  shown.replaceChildren(label);
  shown.id = `task-${pk}`;
  if (!shown.isConnected) element("tasks").append(shown);
}

const streams = {
  tasks: ({ pk, data }) => showTask(pk, data),
  talk: ({ text }) => {
    const line = document.createElement("li");
    line.textContent = text;
    element("talk").append(line);
    element("talk").scrollTop = element("talk").scrollHeight;
  },
  presence: ({ here }) => {
    element("here").textContent = here;
  },
};

function setStatus(state) {
  const status = element("status");
  status.textContent = status.dataset.state = state;
}

function connect(failures = 0) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/desk/`);
  socket.onopen = () => {
    failures = 0;
    setStatus("connected");
  };
  socket.onmessage = (message) => {
    const { stream, payload } = JSON.parse(message.data);
    streams[stream](payload);
  };
  socket.onclose = () => {
    setStatus("reconnecting");
    const ceiling = Math.min(10000, 250 * 2 ** failures);
    setTimeout(connect, Math.random() * ceiling, failures + 1); // spread: not all come back at once
  };
}

function onSubmit(id, act) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.target.text.value);
    event.target.reset();
  });
}

onSubmit("task", (title) => send("tasks", { action: "create", data: { title } }));
onSubmit("say", (text) => send("talk", { text }));
connect();
