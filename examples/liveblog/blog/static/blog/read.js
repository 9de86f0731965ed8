// The page of a reader: shows the posts that the socket brings, and comes back when it is lost.
"use strict";

const list = document.getElementById("posts");
const status = document.getElementById("status");

function show(post) {
  const shown = document.getElementById(`post-${post.id}`);
  const line = shown || document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = post.at;
  time.textContent = new Date(post.at).toLocaleTimeString();
  line.id = `post-${post.id}`;
  line.dataset.id = post.id;
  line.replaceChildren(time, post.text);
  // Newest first, whichever order the posts come in.
  const older = [...list.children].find((other) => Number(other.dataset.id) < post.id);
  if (!shown) list.insertBefore(line, older || null);
}

function take(event) {
  if (event.posts) {
    list.replaceChildren(); // all of them, as after each connect
    event.posts.forEach(show);
  }
  if (event.post) show(event.post);
  if (event.gone) document.getElementById(`post-${event.gone}`)?.remove();
}

const bridge = new channels.WebSocketBridge();

bridge.onstatus = ({ state }) => {
  status.textContent = status.dataset.state = state;
};

bridge.listen(take);
bridge.connect("stream/"); // below the address of the page
