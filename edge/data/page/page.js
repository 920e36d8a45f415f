"use strict";
// One stream of server-sent events has everything that the page shows. It is read with fetch, because EventSource does
// not tell the status of an answer. The stream is closed while the page is hidden: then no picture is taken for it.

const $ = (id) => document.getElementById(id);
const SILENT_MS = 10000; // the link sends something every 4 s
const TOAST_MS = 9000;
const GRADES = { good: ["good", "good"], warning: ["warning", "warn"], fault: ["fault", "bad"] };
const LIGHTS = { good: ["good", "good"], dark: ["too dark", "warn"], bright: ["too bright", "warn"] };
const NO_PICTURE = {
  paused: "The camera is closed. Nothing is seen and nothing is shown.",
  off: "The picture is switched off in the settings of edge ([link] picture).",
  stopped: "edge is not running.",
  slow: "Waiting for the picture",
};

let connection = null; // the AbortController of the stream
let state = { up: false };
let toastTimer = 0;
let adjusting = false; // while a person moves the volume
let sentence = {}; // what edge said last while it was taught a thing
let leaving = ""; // the thing that the dialogue asks about

// ---- showing

function text(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

function kind(id, words, name) {
  text(id, words);
  $(id).dataset.kind = name;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function clock(iso) {
  return iso ? new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "";
}

function meter(id, now, mark, words) {
  const element = $(id);
  element.style.setProperty("--now", `${100 * Math.min(1, Math.max(0, now))}%`);
  element.classList.toggle("bare", mark === null);
  if (mark !== null) element.style.setProperty("--mark", `${100 * Math.min(1, mark)}%`);
  element.setAttribute("aria-valuenow", String(Math.round(100 * Math.min(1, now))));
  element.setAttribute("aria-valuetext", words);
  text(`${id}-text`, words);
}

function toast(words, bad = false) {
  clearTimeout(toastTimer);
  $("toast").classList.toggle("bad", bad);
  text("toast", words);
  toastTimer = setTimeout(() => text("toast", ""), TOAST_MS);
}

// Elements are kept while their key is the same: a button that has the focus must not vanish.
function fill(id, items, keyOf, make) {
  const list = $(id);
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, at) => {
    const key = keyOf(item, at);
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = document.createElement("li");
      child.dataset.key = key;
      child.append(...make(item));
    }
    if (list.children[at] !== child) list.insertBefore(child, list.children[at] || null);
  });
  old.forEach((child) => child.remove());
}

function element(name, words, className = "") {
  const made = document.createElement(name);
  made.textContent = words;
  if (className) made.className = className;
  return made;
}

function button(words, name, action) {
  const made = element("button", words, "small");
  made.type = "button";
  made.setAttribute("aria-label", name);
  made.addEventListener("click", action);
  return made;
}

function showState(next) {
  const before = state;
  state = next;
  showChip();
  showView(before);
  showVoice();
  showMutes();
  showFacts();
  if (state.paused || !state.up || state.picture === false) showPicture({ jpeg: null, reason: state.paused ? "paused" : state.up ? "off" : "stopped" });
  document.querySelectorAll("#page button, #page input, #page select").forEach((one) => {
    if (!["leave", "wake", "show-picture"].includes(one.id)) one.disabled = !state.up;
  });
  $("show-picture").disabled = state.picture === false;
  showTaught();
}

function showChip() {
  if (!state.up) return kind("chip", state.error || "edge is not running", "bad");
  if (!state.model) return kind("chip", "Starting", "off");
  if (state.paused) return kind("chip", "Camera closed", "off");
  if (state.camera_up === false) return kind("chip", "Camera lost", "bad");
  if (state.snoozed_until) return kind("chip", `Quiet until ${clock(state.snoozed_until)}`, "off");
  if (state.silence) return kind("chip", state.silence === "quiet hours" ? "Quiet hours" : "Quiet", "off");
  if (state.sight || state.sound) return kind("chip", state.sight ? "Sees nothing" : "No sound", "warn");
  return kind("chip", "Looking", "good");
}

function showView(before) {
  const known = Boolean(state.in_view);
  const why = state.silent_because;
  const nothing = state.paused || state.sight || (why && why.reason === "nothing");
  const best = known ? { label: state.in_view, probability: state.probability } : nothing ? null : state.best;
  $("label").classList.toggle("unsure", !known);
  text("label", known ? state.in_view_text : best ? `${best.label}?` : state.up ? "Nothing" : "Nothing is known");
  const needed = state.needed ? state.needed.see : null;
  $("confidence-box").classList.toggle("gone", !best);
  if (best) {
    const words = percent(best.probability) + (needed === null ? "" : `, needed ${percent(needed)}`);
    meter("confidence", best.probability, needed, words);
  }
  text("because", !why ? "" : why.because.startsWith("said:") ? `It ${why.because}` : `Silent: ${why.because}.`);
  const alerts = [state.sight, state.sound && `No sound: ${state.sound}`].filter(Boolean);
  $("alert").hidden = !alerts.length;
  text("alert", alerts.join(" "));
  const spoken = state.paused ? "The camera is closed." : known ? state.in_view_text : state.sight || "Nothing in view.";
  if (state.in_view !== before.in_view || state.paused !== before.paused || state.sight !== before.sight) text("live", spoken);
  text("pause", state.paused ? "Open the camera" : "Pause the camera");
}

function showVoice() {
  if (typeof state.volume === "number") {
    if (!adjusting) $("volume").value = Math.round(100 * state.volume);
    text("volume-text", `${percent(state.volume)}, ${state.rate_wpm} words a minute`);
  }
  $("wake").disabled = !state.snoozed_until;
  text("quiet-hours", state.quiet_hours ? `Quiet hours: ${state.quiet_hours}. Change them in the settings ([announce] quiet_hours).` : "No quiet hours are set ([announce] quiet_hours in the settings).");
}

function showMutes() {
  const mutes = state.mutes || [];
  fill("mutes", mutes, String, (label) => [element("span", label, "grow"), button("Unmute", `Unmute ${label}`, () => act({ command: "unmute", label }, `${label} is said again.`))]);
  $("mutes-none").hidden = mutes.length > 0;
}

const STEPS = { empty: () => "Looking at the empty place", thing: (name) => `Looking at ${name}`, learning: (name) => `Learning ${name}` };

const TAUGHT = { taught: "", learning_again: " (this model is learning it again)", not_known: " (this model does not know it)" };

function showTaught() {
  const now = state.teaching;
  const allowed = state.teachable !== false;
  const focused = document.activeElement; // before it is hidden or disabled
  const rows = Object.keys(TAUGHT).flatMap((kind) => (state[kind] || []).map((name) => [name, kind]));
  fill("taught", rows, ([name, kind]) => `${kind} ${name}`, ([name, kind]) => {
    const again = kind === "taught" ? button("Show more", `Show more of ${name}`, () => teach({ name, more: true })) : button("Teach again", `Teach again: ${name}`, () => teach({ name, replace: true }));
    const forget = button("Forget", `Forget ${name}`, () => askToForget(name));
    again.classList.add("teaches");
    forget.classList.add("forgets");
    return [element("span", name + TAUGHT[kind], "grow"), again, forget];
  });
  $("taught-none").hidden = rows.length > 0;
  text("teach-hint", allowed ? "Write the name that you want to hear, such as: my keys. edge then says what to hold before its camera." : "The settings of edge do not allow programs to teach ([link] teach).");
  document.querySelectorAll(".teaches").forEach((one) => (one.disabled = !state.up || !allowed || Boolean(now)));
  document.querySelectorAll(".forgets").forEach((one) => (one.disabled = !state.up || !allowed));
  showTeaching(now, allowed, focused);
}

// The form and the progress take turns in one place; the focus goes along.
function showTeaching(now, allowed, focused) {
  const began = now && $("teaching").hidden && focused.classList.contains("teaches");
  const ended = !now && $("teaching").contains(focused);
  $("teaching").hidden = !now;
  $("teach-form").hidden = Boolean(now);
  $("cancel-teaching").disabled = !allowed;
  if (now) {
    text("teach-step", (STEPS[now.phase] || STEPS.learning)(now.name));
    text("teach-count", `${now.done} of ${now.wanted}`);
    $("teach-progress").max = now.wanted || 1;
    $("teach-progress").value = now.done;
  }
  const fits = now ? sentence.name === now.name && sentence.event === "teaching" : sentence.event === "teaching_ended";
  text("teach-text", state.up && fits ? sentence.text : "");
  if (began) $("cancel-teaching").focus();
  if (ended) $("taught-title").focus();
}

function showSentence(message) {
  sentence = message;
  showTaught();
}

function showFacts() {
  const number = (value, unit, digits = 0) => (typeof value === "number" ? `${value.toFixed(digits)} ${unit}` : null);
  const memory = number(state.memory_mib, "MiB");
  const facts = [
    ["Model", state.model],
    ["Engine", state.engine && [state.engine, state.precision].filter(Boolean).join(", ")],
    ["Inference", number(state.inference_ms, "ms", state.inference_ms < 10 ? 1 : 0)],
    ["Frames", number(state.frames_per_second, "a second", 1)],
    ["Camera", state.camera],
    ["Speech", state.speech],
    ["Memory", memory && (state.memory_budget_mib ? `${memory} of ${Math.round(state.memory_budget_mib)} MiB` : memory)],
    ["Temperature", number(state.temperature_c, "°C") && number(state.temperature_c, "°C") + (state.throttled ? ", slowed down by the firmware" : "")],
    ["Pages open", state.pages],
    ["Release", state.version && `edge ${state.version}`],
  ].filter(([, value]) => value);
  const shown = JSON.stringify(facts);
  if ($("facts").dataset.shown === shown) return;
  $("facts").dataset.shown = shown;
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
}

function showSaid({ history, missed }) {
  fill("said", history, (one) => `${one.time} ${one.text} ${one.heard}`, (one) => [
    element("time", clock(one.time)),
    element("span", one.text + (one.heard === false ? " (not heard)" : ""), "grow"),
    ...(one.labels || []).map((label) => button("Mute", `Mute ${label}`, () => act({ command: "mute", label }, `${label} is muted.`))),
  ]);
  $("said-none").hidden = history.length > 0;
  fill("missed", [...missed].reverse(), (one, at) => `${one.time} ${one.label} ${one.text} ${at}`, (one) => [element("time", clock(one.time)), element("span", one.text || one.label, "grow")]);
  text("missed-title", `Missed while it was quiet: ${missed.length}`);
}

function showPicture(message) {
  const wanted = $("show-picture").checked;
  const jpeg = wanted && state.up && !state.paused && message.jpeg;
  if (jpeg) {
    $("image").src = `data:image/jpeg;base64,${jpeg}`;
    $("picture").style.aspectRatio = `${message.width} / ${message.height}`;
    const best = Math.max(message.best, message.sharpness) || 1;
    // the mark is at the best so far, and leaves room for a better one
    meter("sharpness", (0.9 * message.sharpness) / best, 0.9, `${percent(message.sharpness / best)} of the best so far`);
    kind("light", ...(LIGHTS[message.light] || ["unknown", "off"]));
    kind("still", message.still ? "still" : "moving", message.still ? "good" : "warn");
  } else {
    $("image").removeAttribute("src");
    // the request for a picture may be refused before or after the state tells why
    const reason = state.picture === false && !state.paused ? "off" : message.reason;
    text("no-picture", !wanted ? "The picture is hidden." : NO_PICTURE[reason] || reason || "Waiting for the picture");
  }
  $("image").hidden = !jpeg;
  $("no-picture").hidden = Boolean(jpeg);
  $("gauges").hidden = !jpeg;
}

// ---- asking

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (answer.status === 401) showEntrance();
  const found = await answer.json().catch(() => ({ error: `edge link answered ${answer.status}.` }));
  return { ...found, retry: answer.headers.get("Retry-After") };
}

async function ask(request) {
  try {
    return await post("ask", request);
  } catch {
    return { error: "edge link does not answer." };
  }
}

// Send a request; say what came of it. `done`: words for an answer that has none.
async function act(request, done = "Done.") {
  const answer = await ask(request);
  if (answer.error) toast(answer.error, true);
  else toast((answer.text || done) + (answer.lasting === false ? " (It could not be saved, and holds until the next restart.)" : ""));
  return answer;
}

async function teach(request) {
  sentence = {};
  const answer = await ask({ command: "teach", ...request });
  if (answer.error) toast(answer.error, true);
  return !answer.error;
}

function askToForget(name) {
  leaving = name;
  text("forget-title", `Forget ${name}?`);
  $("forget").showModal();
}

const plain = (name) => name.normalize("NFC").toLowerCase().trim().replace(/\s+/g, " ");

async function examine() {
  $("doctor").disabled = true;
  text("doctor-text", "Checking.");
  let answer = await ask({ command: "doctor" });
  for (let turn = 0; turn < 90 && answer.running; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    answer = await ask({ command: "doctor" });
  }
  $("doctor").disabled = !state.up;
  if (!answer.findings) return text("doctor-text", answer.error || "The check gave no answer.");
  const bad = answer.findings.filter((one) => one.grade !== "good").length;
  text("doctor-text", `Checked at ${clock(answer.time)}: ${bad ? `${bad} of ${answer.findings.length} checks found something` : "all is well"}.`);
  const order = ["fault", "warning", "good"];
  const findings = [...answer.findings].sort((a, b) => order.indexOf(a.grade) - order.indexOf(b.grade));
  fill("findings", findings, (one, at) => `${at} ${one.check} ${one.grade} ${one.text}`, (one) => {
    const [words, name] = GRADES[one.grade] || [one.grade, "off"];
    const tag = element("span", words, "tag");
    tag.dataset.kind = name;
    return [tag, element("span", `${one.check}: ${one.text}`, "grow"), ...(one.advice && one.grade !== "good" ? [element("p", one.advice, "hint")] : [])];
  });
}

// ---- the stream

const SHOW = { state: showState, said: showSaid, picture: showPicture, teaching: showSentence };

/** What the link answers, in words for people; other errors are the browser's. */
class Refused extends Error {}

async function read(controller) {
  const answer = await fetch(`events?picture=${$("show-picture").checked ? "on" : "off"}`, { signal: controller.signal });
  if (answer.status === 401) return showEntrance();
  if (!answer.ok) throw new Refused(answer.status === 503 ? "Too many pages are open." : `The link answered ${answer.status}.`);
  showPage();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let timer = 0;
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), SILENT_MS);
      const { value, done } = await reader.read();
      if (done) return undefined;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const name = /^event: (.*)$/m.exec(part);
        const data = /^data: (.*)$/m.exec(part);
        if (name && data && SHOW[name[1]] && connection === controller) SHOW[name[1]](JSON.parse(data[1]));
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

async function follow() {
  if (connection || document.hidden) return;
  const controller = (connection = new AbortController());
  while (connection === controller && !document.hidden) {
    let why = "No connection to edge link";
    try {
      await read(controller);
    } catch (error) {
      if (error instanceof Refused) why = error.message;
    }
    if (connection !== controller) return;
    $("picture").classList.add("stale");
    kind("chip", why, "bad");
    if (controller.signal.aborted) {
      connection = null;
      setTimeout(follow, 500);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function unfollow() {
  if (connection) {
    const controller = connection;
    connection = null;
    controller.abort();
  }
}

function showPage() {
  $("enter").hidden = true;
  $("page").hidden = $("leave").hidden = false;
  $("picture").classList.remove("stale");
}

function showEntrance() {
  unfollow();
  $("page").hidden = $("leave").hidden = true;
  $("image").removeAttribute("src");
  if ($("enter").hidden) {
    $("enter").hidden = false;
    kind("chip", "Signed out", "off");
    $("token").focus();
  }
}

async function enter(token) {
  text("enter-fault", "");
  let answer;
  try {
    answer = await post("enter", { token });
  } catch {
    answer = { error: "edge link does not answer." };
  }
  if (answer.entered) {
    $("token").value = "";
    follow();
  } else {
    showEntrance();
    text("enter-fault", answer.error + (answer.retry ? ` Try again in ${answer.retry} s.` : ""));
  }
}

// ---- what a person does

function onSubmit(id, action) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

async function loadLabels() {
  const answer = await ask({ command: "labels" });
  if (answer.labels) $("labels").replaceChildren(...answer.labels.map((label) => Object.assign(document.createElement("option"), { value: label })));
}

function begin() {
  text("host", location.hostname);
  document.title = `edge on ${location.hostname}`;
  document.querySelectorAll("button[data-command]").forEach((one) => one.addEventListener("click", () => act({ command: one.dataset.command })));
  $("pause").addEventListener("click", () => (state.paused ? act({ command: "resume" }, "The camera is open.") : act({ command: "pause" }, "The camera is closed.")));
  $("aim").addEventListener("click", async () => {
    const on = $("aim").getAttribute("aria-pressed") !== "true";
    const answer = await act({ command: "aim", on }, on ? "For a minute, tones tell how sharp the picture is: the higher, the sharper." : "The tones have ended.");
    $("aim").setAttribute("aria-pressed", String(Boolean(answer.aiming)));
    if (answer.aiming) setTimeout(() => $("aim").setAttribute("aria-pressed", "false"), 1000 * (answer.left_s || 60));
  });
  $("what-missed").addEventListener("click", async () => {
    const answer = await ask({ command: "missed" });
    if (answer.error) return toast(answer.error, true);
    $("missed-box").open = true;
    toast(answer.missed.length ? `You missed ${answer.missed.length}: ${answer.missed.slice(-5).map((one) => one.text || one.label).join(", ")}` : "You missed nothing.");
  });
  $("volume").addEventListener("input", () => (adjusting = true));
  $("volume").addEventListener("change", async () => {
    await act({ command: "volume", percent: Number($("volume").value) }, "The volume is set.");
    adjusting = false;
  });
  $("wake").addEventListener("click", () => act({ command: "wake" }, "It speaks again."));
  $("doctor").addEventListener("click", examine);
  $("leave").addEventListener("click", async () => {
    await post("leave", {}).catch(() => undefined);
    showEntrance();
  });
  $("show-picture").addEventListener("change", () => {
    showPicture({ jpeg: null, reason: "" });
    unfollow();
    follow();
  });
  $("mute").addEventListener("focus", loadLabels, { once: true });
  onSubmit("enter-form", () => enter($("token").value));
  onSubmit("snooze-form", () => act({ command: "snooze", seconds: 60 * Number($("minutes").value) }, "It is quiet."));
  onSubmit("say-form", async () => {
    if (!$("words").value.trim()) return;
    const answer = await ask({ command: "say", text: $("words").value });
    if (answer.error) return toast(answer.error, true);
    toast(answer.queued === false ? `It does not say this now: ${answer.reason}.` : `It says: ${answer.text}`);
    $("words").value = "";
  });
  onSubmit("mute-form", async () => {
    const label = $("mute").value.trim();
    if (label && !(await act({ command: "mute", label }, `${label} is muted.`)).error) $("mute").value = "";
  });
  onSubmit("teach-form", async () => {
    const name = $("thing").value.trim();
    const known = Object.keys(TAUGHT).flatMap((kind) => state[kind] || []).find((one) => plain(one) === plain(name));
    if (known) return toast(`edge was taught ${known} already. Use the buttons beside its name.`, true);
    if (name && (await teach({ name }))) $("thing").value = "";
  });
  $("cancel-teaching").addEventListener("click", () => teach({ cancel: true }));
  $("keep").addEventListener("click", () => $("forget").close());
  $("forget-now").addEventListener("click", async () => {
    $("forget").close();
    sentence = {};
    if (!(await act({ command: "forget", name: leaving }, `${leaving} is forgotten.`)).error) $("taught-title").focus();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? unfollow() : follow()));
  window.addEventListener("hashchange", start);
  start();
}

// The code of `edge link --token` has the token behind the #: it stays in the browser.
function start() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (!token) return follow();
  history.replaceState(null, "", location.pathname);
  return enter(token);
}

begin();
