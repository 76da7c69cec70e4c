import {piecesOf} from "/points.js";

const at = (id) => document.getElementById(id);
const TAKEN = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];
const LARGEST_SIDE = 2048, SMALL = 320, WIDE = 640, HIGH = 420, COLOURS = 6, COMPLETION_TOKENS = 64;
let model = null;        // the entry of /v1/models
let turns = [];          // {role, text, picture: {url, alt} or null}
let attached = null;     // a picture that the next message takes
let reply = null;        // the AbortController of the reply that is written
let texts = "";          // what a model without a chat template goes on from

function node(kind, fields = {}, ...inside) {
  const made = Object.assign(document.createElement(kind), fields);
  made.append(...inside);
  return made;
}

const say = (text) => { at("status").textContent = text; };
const wrong = (text) => { at("error").textContent = text; };

async function call(path, body, signal) {
  const headers = {};
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal});
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({}));
  const error = new Error(found.error?.message || `the server answers with status ${answer.status}`);
  error.status = answer.status;
  throw error;
}

async function open() {
  try {
    model = (await (await call("/v1/models")).json()).data[0];
  } catch (error) {
    if (error.status === 401) {
      at("settings").open = true;
      at("key").focus();
      wrong("This server asks for a key: write it under Settings.");
    } else {
      wrong(`The server does not answer: ${error.message}`);
    }
    return;
  }
  wrong("");
  const sees = model.pictures !== null;
  document.title = `Chat with ${model.id}`;
  at("name").textContent = model.id;
  at("about").textContent = `${sees ? "reads pictures and text" : "reads text"}, ` +
    `${model.max_model_len.toLocaleString("en")} tokens, on this server alone`;
  at("empty").textContent = !model.chat
    ? "This model has no chat template: it goes on with the text that you write."
    : sees ? "Add a picture and ask about it, or write a message." : "Write a message.";
  at("attach").hidden = at("how-picture").hidden = at("asks").hidden = !sees;
  at("temperature").value = sees ? "0" : "0.7";
  at("asks").replaceChildren(...Object.entries(sees ? model.pictures.asks : {}).map(([name, ask]) => {
    const button = node("button", {type: "button"}, ask.includes("{label}") ? `${name}…` : name);
    button.addEventListener("click", () => fill(ask));
    return button;
  }));
}

function fill(ask) {
  const text = at("text"), place = ask.indexOf("{label}");
  text.value = ask.replace("{label}", "things");
  text.focus();
  if (place >= 0) text.setSelectionRange(place, place + "things".length);
  grow();
}

function grow() {
  const text = at("text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

// Pictures

const urlOf = (blob) => new Promise((found, failed) => {
  const reader = new FileReader();
  reader.onload = () => found(reader.result);
  reader.onerror = () => failed(reader.error);
  reader.readAsDataURL(blob);
});

async function smaller(image) {
  const scale = Math.min(1, LARGEST_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = node("canvas", {
    width: Math.max(1, Math.round(image.naturalWidth * scale)),
    height: Math.max(1, Math.round(image.naturalHeight * scale)),
  });
  const drawn = canvas.getContext("2d");
  drawn.fillStyle = "#fff";
  drawn.fillRect(0, 0, canvas.width, canvas.height);
  drawn.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

async function attach(file) {
  if (!file || !model?.pictures) return;
  wrong("");
  const address = URL.createObjectURL(file);
  try {
    const image = node("img", {src: address});
    await image.decode();
    const fits = TAKEN.includes(file.type) && file.size <= model.pictures.bytes
      && image.naturalWidth * image.naturalHeight <= model.pictures.pixels;
    attached = {
      url: fits ? await urlOf(file) : await smaller(image), alt: file.name || "a pasted picture",
      width: image.naturalWidth || SMALL, height: image.naturalHeight || SMALL,
    };
    at("preview").src = attached.url;
    at("size").textContent = `${attached.alt}, ${image.naturalWidth} x ${image.naturalHeight} pixels` +
      (fits ? "" : ", sent as JPEG" + (Math.max(image.naturalWidth, image.naturalHeight) > LARGEST_SIDE
        ? ` with ${LARGEST_SIDE} pixels on the longer side` : ""));
    at("attached").hidden = false;
    say("A picture is attached.");
    at("text").focus();
  } catch {
    wrong(`${file.name || "What was pasted"} is not a picture that this browser reads.`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

function detach() {
  attached = null;
  at("attached").hidden = true;
  at("preview").removeAttribute("src");
  at("file").value = "";
}

// The log

const svg = (name, fields, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [field, value] of Object.entries(fields)) made.setAttribute(field, value);
  made.textContent = text;
  return made;
};

function figure(picture, named) {
  const marks = svg("svg", {"aria-hidden": "true"}), numbers = [];
  let number = 0;
  named.forEach(({points}, tag) => points.forEach(([x, y]) => {
    marks.append(svg("circle", {cx: `${x * 100}%`, cy: `${y * 100}%`, r: 7, class: `colour-${tag % COLOURS}`}));
    numbers.push(svg("text", {x: `${x * 100}%`, y: `${y * 100}%`, dx: 9}, String(++number)));
  }));
  // No circle lies over a number.
  marks.append(...numbers);
  number = 0;
  const places = named.map(({label, points}) => `${label}: ` +
    points.map(([x, y]) => `${++number} at ${(x * 100).toFixed(1)}%, ${(y * 100).toFixed(1)}%`).join("; "));
  const drawn = node("div", {className: "drawn"},
    node("img", {src: picture.url, alt: `${picture.alt}, with the points that the model names`}), marks);
  // A small picture is enlarged, so that its points stand apart.
  const width = Math.min(Math.max(picture.width, SMALL), WIDE, HIGH * picture.width / picture.height);
  drawn.style.width = `${Math.max(width, 40)}px`;
  return node("figure", {}, drawn, node("figcaption", {}, places.join(". ") + "."));
}

const seen = () => turns.findLast((turn) => turn.picture)?.picture || null;

function show(line, text, writing) {
  const words = node("p", {className: writing ? "words waits" : "words"}), named = [];
  for (const piece of piecesOf(text, writing)) {
    if (piece.text !== undefined) { words.append(piece.text); continue; }
    words.append(node("span", {className: `label colour-${named.length % COLOURS}`}, piece.label));
    named.push(piece);
  }
  const who = node("span", {className: "who"}, model.id), picture = seen();
  const drawn = picture && named.some(({points}) => points.length) ? [figure(picture, named)] : [];
  const before = line.querySelector("figure");
  line.replaceChildren(who, words, ...drawn);
  // A picture that was there keeps its place: it is not decoded again with every token.
  if (before && drawn.length) {
    before.querySelector("svg").replaceWith(drawn[0].querySelector("svg"));
    before.querySelector("figcaption").replaceWith(drawn[0].querySelector("figcaption"));
    drawn[0].replaceWith(before);
  }
  if (writing) line.setAttribute("aria-busy", "true"); else line.removeAttribute("aria-busy");
}

function add(role, ...inside) {
  at("empty").hidden = true;
  const line = node("li", {className: role}, ...inside);
  at("log").append(line);
  line.scrollIntoView({block: "end"});
  return line;
}

function begin(why = "") {
  reply?.abort();
  turns = [];
  texts = "";
  if (why) { add("begins", why); return; }
  at("log").replaceChildren();
  at("empty").hidden = false;
  say("A new conversation begins.");
  wrong("");
  at("text").focus();
}

// Asking

function messages() {
  return turns.map(({role, text, picture}) => ({role, content: picture
    ? [{type: "image_url", image_url: {url: picture.url}}, {type: "text", text}] : text}));
}

async function* events(answer) {
  const decoder = new TextDecoder();
  let held = "";
  for (const reader = answer.body.getReader(); ;) {
    const {done, value} = await reader.read();
    if (done) return;
    held += decoder.decode(value, {stream: true});
    const lines = held.split("\n\n");
    held = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      yield JSON.parse(line.slice("data: ".length));
    }
  }
}

async function ask() {
  const text = at("text").value.trim();
  if (!model || reply || (!text && !attached)) return;
  if (attached && turns.some((turn) => turn.picture)) begin("A new conversation: the model reads one picture in each.");
  const picture = attached;
  turns.push({role: "user", text, picture});
  const mine = [node("span", {className: "who"}, "You"), node("p", {className: "words"}, text)];
  if (picture) mine.splice(1, 0, node("img", {className: "seen", src: picture.url, alt: picture.alt}));
  const asked = add("user", ...mine), before = texts;
  at("text").value = "";
  grow();
  detach();
  wrong("");
  say("The model is reading.");
  const own = reply = new AbortController(), line = add("assistant");
  at("send").hidden = true;
  at("stop").hidden = false;
  let written = "", finish = null, complete = false;
  show(line, written, true);
  try {
    const shared = {stream: true, temperature: Number(at("temperature").value) || 0};
    const most = Number(at("most").value) || (model.chat ? 0 : COMPLETION_TOKENS);
    if (most) shared.max_tokens = most;
    texts += text;
    const answer = model.chat
      ? await call("/v1/chat/completions", {...shared, messages: messages()}, own.signal)
      : await call("/v1/completions", {...shared, prompt: texts}, own.signal);
    for await (const event of events(answer)) {
      if (event.error) throw new Error(event.error.message);
      const choice = event.choices[0];
      if (!choice) continue;
      written += choice.delta?.content ?? choice.text ?? "";
      finish = choice.finish_reason ?? finish;
      const main = document.querySelector("main"), below = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
      show(line, written, true);
      if (below) line.scrollIntoView({block: "end"});
    }
    complete = true;
    say(finish === "length" ? "The reply ended at the most tokens." : "The reply is complete.");
  } catch (error) {
    if (own.signal.aborted) say("The reply was stopped.");
    else {
      wrong(error.status === 401 ? "The key is missing or wrong: write it under Settings." : error.message);
      say("");
    }
    if (!written) {
      // What was not answered is no part of the conversation, and can be sent again.
      line.remove();
      if (turns.at(-1)?.role === "user" && own === reply) {
        turns.pop();
        texts = before;
        asked.remove();
        at("text").value = text;
        grow();
        if (picture) {
          attached = picture;
          at("preview").src = picture.url;
          at("size").textContent = picture.alt;
          at("attached").hidden = false;
        }
        at("empty").hidden = turns.length > 0;
      }
    }
  } finally {
    if (written || complete) {
      show(line, written || "(an empty reply)", false);
      if (own === reply && turns.length) {
        turns.push({role: "assistant", text: written, picture: null});
        texts += written;
      }
    }
    if (own === reply) {
      reply = null;
      at("send").hidden = false;
      at("stop").hidden = true;
    }
    at("text").focus();
  }
}

at("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
at("text").addEventListener("input", grow);
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") reply?.abort(); });
at("stop").addEventListener("click", () => reply?.abort());
at("new").addEventListener("click", () => begin());
at("attach").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => attach(at("file").files[0]));
at("remove").addEventListener("click", () => { detach(); at("text").focus(); });
at("key").addEventListener("change", open);
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) { event.preventDefault(); attach(file); }
});
const isDropped = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (isDropped(event)) { event.preventDefault(); document.body.classList.add("dragged"); }
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragged");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dragged");
  if (isDropped(event)) { event.preventDefault(); attach(event.dataTransfer.files[0]); }
});

open();
