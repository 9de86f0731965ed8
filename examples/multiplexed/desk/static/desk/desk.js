// The page: one socket, and for each stream of it something that takes what comes.
"use strict";

const element = (id) => document.getElementById(id);
const bridge = new channels.WebSocketBridge();

// The tasks by primary key: a Map that draws what it gets.
class Tasks extends Map {
  set(pk, task) {
    const line = element(`task-${pk}`) ?? document.createElement("li");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = task.is_done;
    box.onchange = () => tasks.update(pk, { is_done: box.checked });
    label.append(box, task.title);
    label.classList.toggle("done", task.is_done);
    line.replaceChildren(label);
    line.id = `task-${pk}`;
    if (!line.isConnected) element("tasks").append(line);
    return super.set(pk, task);
  }
}

// The server sends all tasks when a page connects, so there is nothing to load.
const tasks = bridge.bind("tasks", new Tasks());
const talk = bridge.stream("talk");

bridge.demultiplex("talk", ({ text }) => {
  const line = document.createElement("li");
  line.textContent = text;
  element("talk").append(line);
  element("talk").scrollTop = element("talk").scrollHeight;
});

bridge.demultiplex("presence", ({ here }) => {
  element("here").textContent = here;
});

bridge.onstatus = ({ state }) => {
  element("status").textContent = element("status").dataset.state = state;
};

function onSubmit(id, act) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.target.text.value);
    event.target.reset();
  });
}

onSubmit("task", (title) => tasks.create({ title }));
onSubmit("say", (text) => talk.send({ text }));
bridge.connect("/desk/");
