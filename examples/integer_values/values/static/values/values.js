// The page: what the binding says is shown, and what is clicked is asked of the binding.
"use strict";

const table = document.getElementById("values");
const status = document.getElementById("status");
const bridge = new channels.WebSocketBridge();

// The values by primary key, as the database has them: the bridge keeps this Map in step, and it
// draws what it gets.
class Shown extends Map {
  set(pk, value) {
    const row = document.getElementById(`value-${pk}`) ?? addRow(pk);
    row.querySelector(".name").textContent = value.name;
    row.querySelector(".value").textContent = value.value;
    return super.set(pk, value);
  }

  delete(pk) {
    document.getElementById(`value-${pk}`)?.remove();
    return super.delete(pk);
  }
}

const shown = new Shown();
const values = bridge.bind("intval", shown, { load });

function addRow(pk) {
  const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
  const add = (step) => values.update(pk, { value: shown.get(pk).value + step });
  row.id = `value-${pk}`;
  row.querySelector(".less").onclick = () => add(-1);
  row.querySelector(".more").onclick = () => add(1);
  row.querySelector(".delete").onclick = () => values.delete(pk);
  table.append(row);
  return row;
}

// What there is when the page connects, the first time and each time that it was away.
async function load() {
  const response = await fetch("/values/");
  if (!response.ok) throw new Error(`the values cannot be loaded: ${response.status}`);
  return (await response.json()).values.map(({ pk, ...value }) => [pk, value]);
}

bridge.onstatus = ({ state }) => {
  status.textContent = status.dataset.state = state;
};

document.getElementById("new").addEventListener("submit", (event) => {
  event.preventDefault();
  values.create({ name: event.target.name.value });
  event.target.reset();
});

bridge.connect("/binding/");
