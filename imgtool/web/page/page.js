// The page: a picture, a command and its options in; progress, the result and its files out.

const $ = (id) => document.getElementById(id);
const POLL_MS = 400;
const SHOWN_FIELDS = 5; // besides pictures; the others are behind a click
const KEY = "imgtool-jobs"; // of this tab alone

const state = { commands: [], form: null, picture: null, maxBytes: Infinity, jobs: new Map(), shown: null, result: null };

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const { data, ...plain } = properties;
  const element = Object.assign(document.createElement(tag), plain);
  for (const [name, value] of Object.entries(data ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Asks the server; its refusals are errors with one line. */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: has it ended?");
  }
  const told = answer.headers.get("content-type")?.includes("json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw Object.assign(new Error(told.error || answer.statusText), { status: answer.status });
  return told;
}

function show(element, text) {
  element.hidden = !text;
  element.textContent = text ?? "";
}

// ---- Pictures -------------------------------------------------------------------------------------------------

/** Uploads what is chosen or dropped, and shows it in its place. */
async function choose(file, place) {
  show($("refusal"), "");
  place.upload = null;
  if (file.size > state.maxBytes) {
    show($("refusal"), `${file.name} has ${(file.size / 1e6).toFixed(1)} MB, the most is ${state.maxBytes / 1e6} MB.`);
    return ready();
  }
  URL.revokeObjectURL(place.image.src);
  place.image.src = URL.createObjectURL(file);
  place.image.hidden = false;
  place.image.onerror = () => { place.image.hidden = true; };
  place.text.textContent = file.name;
  const upload = ask(`pictures?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }).then((saved) => saved.id);
  place.upload = upload;
  place.taken();
  ready();
  try {
    await upload;
  } catch (error) {
    if (place.upload !== upload) return; // another picture was chosen meanwhile
    place.upload = null;
    show($("refusal"), error.message);
    ready();
  }
}

/** Makes a label with a file input take clicks and drops; `place.upload` promises what the server calls it. */
function droppable(label, input, image, text, taken = () => {}) {
  const place = { upload: null, image, text, taken };
  input.addEventListener("change", () => input.files[0] && choose(input.files[0], place));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    label.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation();
      label.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0], place);
    });
  }
  return place;
}

// ---- Forms ----------------------------------------------------------------------------------------------------

/** An option's inputs; `field.read()` promises its answer, undefined if it was left alone. */
function inputs(field) {
  const id = `field-${field.name}`;
  if (field.kind === "flag") {
    const box = make("input", { type: "checkbox", id });
    field.read = async () => box.checked || undefined;
    return make("div", { className: "field flag" }, make("label", {}, box, field.name), help(field));
  }
  if (field.kind === "several") {
    const boxes = field.choices.map((word) => make("input", { type: "checkbox", value: word, checked: field.default.split(",").includes(word) }));
    field.read = async () => boxes.filter((box) => box.checked).map((box) => box.value);
    const labels = boxes.map((box) => make("label", {}, box, box.value));
    return make("div", { className: "field", id }, make("span", { className: "name" }, field.name), make("div", { className: "several" }, ...labels), help(field));
  }
  if (field.kind === "picture") return pictureInput(field, id);
  const input = field.kind === "choice" ? chooser(field, id) : make("input", { id, type: field.kind, placeholder: field.default || field.example, step: field.step });
  field.read = async () => input.value.trim() || undefined;
  return make("div", { className: "field" }, make("label", { htmlFor: id }, field.name), input, help(field));
}

function help(field) {
  return make("small", {}, field.help);
}

function chooser(field, id) {
  const first = make("option", { value: "" }, field.default || "as usual");
  return make("select", { id }, first, ...field.choices.filter((word) => word !== field.default).map((word) => make("option", { value: word }, word)));
}

/** A place for a picture; where there may be several, a further one for each that is taken. */
function pictureInput(field, id) {
  const places = [];
  const box = make("div", { className: "field" }, make("span", { className: "name" }, field.name));
  const add = () => {
    const input = make("input", { type: "file", id: places.length ? `${id}-${places.length + 1}` : id, accept: "image/*,.tif,.tiff" });
    const image = make("img", { alt: "", hidden: true });
    const text = make("span", {}, places.length ? "One more" : "Drop or choose");
    const label = make("label", { className: "drop small", htmlFor: input.id }, input, image, text);
    const place = droppable(label, input, image, text, () => {
      if (field.many && place === places.at(-1)) add();
      // A weight counts against those of others.
      for (const each of places) each.weight.hidden = !each.upload || places.length < 3;
    });
    const weight = make("input", { type: "number", min: 0, step: "any", placeholder: "1", hidden: true, title: "Weight", className: "weight" });
    weight.setAttribute("aria-label", `Weight of ${field.name} ${places.length + 1}`);
    if (field.weighted) label.append(weight);
    place.answer = async () => {
      const upload = await place.upload;
      return upload && weight.value ? `${upload}:${weight.value}` : upload;
    };
    place.weight = weight;
    places.push(place);
    box.insertBefore(label, box.querySelector("small"));
  };
  box.append(help(field));
  add();
  field.read = async () => {
    const given = (await Promise.all(places.map((place) => place.answer()))).filter(Boolean);
    return given.length ? given : undefined;
  };
  return box;
}

function chooseCommand(form) {
  if (state.form === form) return; // what was answered stays
  state.form = form;
  for (const button of $("commands").children) button.setAttribute("aria-checked", button.value === form.command);
  $("title").textContent = form.title;
  $("fields").replaceChildren();
  $("more-fields").replaceChildren();
  let free = SHOWN_FIELDS;
  for (const [index, field] of form.fields.entries()) {
    const seen = field.kind === "picture" ? index === 0 : free-- > 0;
    (seen ? $("fields") : $("more-fields")).append(inputs(field));
  }
  const hidden = $("more-fields").childElementCount;
  $("more").hidden = !hidden;
  $("more").open = false;
  $("more").firstElementChild.textContent = `${hidden} more options`;
  show($("refusal"), "");
  ready();
}

function ready() {
  $("run").disabled = !(state.picture.upload && state.form);
}

async function submit(event) {
  event.preventDefault();
  show($("refusal"), "");
  $("run").disabled = true;
  try {
    const answers = {};
    for (const field of state.form.fields) {
      const answer = await field.read();
      if (answer !== undefined) answers[field.name] = answer;
    }
    const body = JSON.stringify({ command: state.form.command, picture: await state.picture.upload, answers });
    const job = await ask("jobs", { method: "POST", body });
    state.jobs.set(job.id, job);
    remember();
    look(job.id);
    $("stage").scrollIntoView({ block: "nearest", behavior: "smooth" });
    poll();
  } catch (error) {
    show($("refusal"), error.message);
  }
  ready();
}

// ---- Jobs -----------------------------------------------------------------------------------------------------

const ended = (job) => ["done", "failed", "cancelled"].includes(job.state);
const given = (job) => `jobs/${job.id}/given`;
const result = (job, name) => `jobs/${job.id}/results/${encodeURIComponent(name)}`;

function remember() {
  sessionStorage.setItem(KEY, JSON.stringify([...state.jobs.keys()]));
}

let polling = false;

/** Asks about the jobs that have not ended until all have. */
async function poll() {
  if (polling) return;
  polling = true;
  for (let left = unfinished(); left.length; left = unfinished()) {
    let wait = POLL_MS;
    try {
      await Promise.all(left.map(refresh));
    } catch (error) {
      show($("error"), error.message);
      wait *= 10;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  polling = false;
}

const broken = new Set(); // addresses of pictures that the browser cannot show
const unfinished = () => [...state.jobs.values()].filter((job) => !ended(job));

async function refresh({ id }) {
  try {
    state.jobs.set(id, await ask(`jobs/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    state.jobs.delete(id);
    remember();
  }
  drawJobs();
  if (id === state.shown && state.jobs.has(id)) drawJob(state.jobs.get(id));
}

function look(id) {
  state.shown = id;
  state.result = null;
  drawJobs();
  drawJob(state.jobs.get(id));
}

/** All that is told about one job. */
function drawJob(job) {
  const over = ended(job);
  show($("error"), job.error);
  $("work").hidden = over;
  if (!over) drawProgress(job);
  drawPicture(job);
  drawResults(job);
  const facts = (over && job.facts[0]) || {};
  show($("text"), facts.text);
  const rows = Object.entries({ ...facts, ...(job.seconds ? { seconds: job.seconds } : {}) });
  $("facts").replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, plain(value)))));
  $("facts").hidden = !rows.length;
  $("notes").replaceChildren(...job.notes.map((note) => make("li", {}, note)));
  $("notes").hidden = !job.notes.length;
  $("typed").hidden = false;
  $("typed").firstElementChild.textContent = job.typed.map(quoted).join(" ");
}

const plain = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

function drawProgress(job) {
  const { done, total, note } = job.progress;
  const share = total ? Math.min(1, done / total) : null;
  $("bar").classList.toggle("unknown", share === null || job.state !== "running");
  $("bar").style.setProperty("--done", `${100 * (share ?? 0)}%`);
  const words = { waiting: job.ahead ? `waiting, ${job.ahead} before it` : "starting", stopping: "saving what there is" };
  $("state").textContent = words[job.state] ?? (share === null ? "working" : `${Math.round(100 * share)} %`);
  $("state").title = note ?? "";
  $("cancel").disabled = job.state === "stopping";
}

function drawPicture(job) {
  const name = state.result ?? job.pictures[0];
  const after = name ? result(job, name) : job.preview ? result(job, job.preview) : given(job);
  if ($("after").getAttribute("src") !== after) $("after").src = after;
  if ($("before").getAttribute("src") !== given(job)) $("before").src = given(job);
  const comparable = (name || job.preview) && !broken.has(given(job));
  for (const id of ["before", "line", "slider"]) $(id).hidden = !comparable;
  if (name && state.compared !== after) slide(50);
  if (!name) slide(0);
  state.compared = name ? after : null;
  $("compare").hidden = broken.has(after);
  show($("empty"), broken.has(after) ? "Browsers do not show this format; it can be saved." : "");
}

function slide(percent) {
  $("slider").value = percent;
  $("compare").style.setProperty("--at", `${percent}%`);
}

/** A chip for each file: to look at, to save, and with its recipe. */
function drawResults(job) {
  const shown = state.result ?? job.pictures[0];
  const key = JSON.stringify([job.id, job.files, shown]);
  if (state.drawn === key) return;
  state.drawn = key;
  const recipe = (name) => `${name}.json`;
  const link = (name, word) => make("a", { href: result(job, name), download: name }, word);
  const chips = job.files.filter((name) => !job.files.some((other) => recipe(other) === name)).map((name) => {
    const open = make("button", { type: "button", disabled: !job.pictures.includes(name), onclick: () => pick(job.id, name) }, name);
    const links = [link(name, "Save"), ...(job.files.includes(recipe(name)) ? [link(recipe(name), "Recipe")] : [])];
    return make("div", { data: { "aria-current": name === shown } }, open, ...links);
  });
  $("results").replaceChildren(...chips);
  $("results").hidden = !chips.length;
}

function pick(id, name) {
  state.result = name;
  drawJob(state.jobs.get(id));
}

function drawJobs() {
  const cards = [...state.jobs.values()].reverse().map((job) => {
    const picture = job.pictures[0] ? result(job, job.pictures[0]) : given(job);
    const image = make("img", { src: picture, alt: "", loading: "lazy", onerror: (event) => { event.target.style.visibility = "hidden"; } });
    return make("button", { type: "button", onclick: () => look(job.id), data: { "aria-current": job.id === state.shown } }, image, make("b", {}, job.given), make("span", {}, `${job.command}, ${job.state}`));
  });
  const key = JSON.stringify([...state.jobs.values()].map((job) => [job.id, job.state, job.pictures[0]]).concat(state.shown));
  if (state.cards === key) return;
  state.cards = key;
  $("jobs").replaceChildren(...cards);
  $("jobs").hidden = cards.length < 2;
}

// ---- Start ----------------------------------------------------------------------------------------------------

function listen() {
  $("form").addEventListener("submit", submit);
  $("cancel").addEventListener("click", async () => {
    try {
      state.jobs.set(state.shown, await ask(`jobs/${state.shown}`, { method: "DELETE" }));
      drawJob(state.jobs.get(state.shown));
      drawJobs();
    } catch (error) {
      show($("error"), error.message);
    }
  });
  $("copy").addEventListener("click", () => navigator.clipboard?.writeText($("typed").firstElementChild.textContent));
  $("slider").addEventListener("input", (event) => slide(event.target.value));
  $("after").addEventListener("load", ({ target }) => {
    $("compare").style.setProperty("--ratio", target.naturalWidth / target.naturalHeight);
    $("compare").classList.toggle("small", target.naturalWidth < 200 && target.naturalHeight < 200);
  });
  for (const id of ["before", "after"]) {
    $(id).addEventListener("error", ({ target }) => {
      broken.add(target.getAttribute("src"));
      drawJob(state.jobs.get(state.shown));
    });
  }
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("drop", (event) => event.dataTransfer.files[0] && choose(event.dataTransfer.files[0], state.picture));
}

async function start() {
  state.picture = droppable($("drop"), $("picture"), $("thumbnail"), $("drop-text"));
  listen();
  try {
    const told = await ask("commands");
    state.commands = told.commands;
    state.maxBytes = told.max_bytes;
    for (const form of state.commands) {
      $("commands").append(make("button", { type: "button", value: form.command, onclick: () => chooseCommand(form), data: { role: "radio" } }, form.command));
    }
    chooseCommand(state.commands[0]);
    for (const id of JSON.parse(sessionStorage.getItem(KEY) ?? "[]")) await refresh({ id });
    if (state.jobs.size) look([...state.jobs.keys()].at(-1));
    poll();
  } catch (error) {
    show($("refusal"), error.message);
  }
}

start();
