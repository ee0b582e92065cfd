"use strict";
const KEY = "tunewright-token", FEW = 6, CHAT = "/v1/chat/completions";
const at = id => document.getElementById(id);
const onDocs = location.pathname === "/docs";
let models = [], showAll = false, chatting = false, messages = [], leaving = null;

function make(tag, props, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

async function call(path, body) {
  return (await reach(path, body)).json();
}

async function reach(path, body, signal) {
  const headers = { authorization: "Bearer " + (sessionStorage.getItem(KEY) || "") };
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  const error = new Error(answer?.error?.message || "The server answered with status " + response.status + ".");
  error.status = response.status;
  throw error;
}

function alarm(id, message) {
  at(id).textContent = message;
  at(id).hidden = !message;
}

function askForToken(message) {
  sessionStorage.removeItem(KEY);
  for (const id of ["ask", "result", "docs", "leave"]) at(id).hidden = true;
  at("served").textContent = "";
  at("enter").hidden = false;
  alarm("enter-alarm", message);
  at("token").focus();
}

async function open() {
  if (!sessionStorage.getItem(KEY)) return askForToken("");
  try {
    models = (await call("/v1/models")).data;
    if (onDocs) showDocs(await call("/openapi.json"));
  } catch (error) {
    return askForToken(error.status === 401 ? "This is not the token of this server." : error.message);
  }
  at("enter").hidden = true;
  at("leave").hidden = false;
  if (!onDocs) showForm();
}

function chosen() {
  return models.find(model => model.id === at("model").value) || models[0];
}

function showForm() {
  at("ask").hidden = false;
  if (!models.length) return alarm("ask-alarm", "The model is still loading. Reload the page in a moment.");
  at("model").replaceChildren(...models.map(model => make("option", { value: model.id, textContent: model.id })));
  at("choose").hidden = models.length < 2;
  showFields();
}

function showFields() {
  const model = chosen();
  const chats = model.endpoints.includes(CHAT), fills = !chats || model.prompt || model.inputs.length > 1;
  at("switch").hidden = !(chats && fills);
  chooseWay(chats && !fills);
  at("served").textContent = model.name + ", version " + model.version + ". " + summary(model);
}

function chooseWay(chat) {
  const model = chosen();
  const single = chat || model.inputs.length === 1;
  leaving?.abort();
  chatting = chat;
  messages = [];
  at("talk").replaceChildren();
  for (const button of at("switch").children) button.setAttribute("aria-pressed", (button.dataset.way === "chat") === chat);
  at("options").hidden = !chat;
  at("again").hidden = true;
  at("go").textContent = chat ? "Send" : model.task === "pretraining" ? "Continue" : writes(model) ? "Write" : "Predict";
  at("hint").replaceChildren(...(chat ? [make("kbd", { textContent: "Enter" })] :
    [make("kbd", { textContent: "Ctrl" }), " ", make("kbd", { textContent: "Enter" })]));
  at("fields").className = chat ? "field chat" : single ? "field" : "field several";
  at("fields").replaceChildren(...(chat ? ["Message"] : model.inputs).map((column, i) => make("div", { className: "field" },
    make("label", { htmlFor: "input-" + i, textContent: column }),
    make("textarea", { id: "input-" + i, name: column, required: true,
      placeholder: chat ? "Say something" : single ? "Write or paste a text" : "" }))));
  at("result").hidden = true;
  alarm("ask-alarm", "");
  at("input-0").focus();
}

function writes(model) {
  return model.endpoints.length > 1;
}

function summary(model) {
  const tells = { classification: "Chooses one of " + model.labels.length + " labels.",
    multi_label: "Gives any of " + model.labels.length + " labels.", regression: "Answers with a number.",
    similarity: "Says how alike two texts are.", retrieval: "Says how near a passage is to a query.",
    token_classification: "Marks parts of a text as " + listed(model.labels) + ".",
    question_answering: "Answers with a part of the text, or says that it has no answer.",
    summarisation: "Writes summaries.", translation: "Translates.", generation: "Answers with a text.",
    pretraining: "Continues a text." };
  const limit = writes(model) ? " Takes up to " + model.max_length + " tokens, its answer included." :
    " Reads up to " + model.max_length + " tokens at a time.";
  return (tells[model.task] || "") + limit;
}

function listed(names) {
  return names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " or " + names.at(-1);
}

async function chat() {
  const text = at("input-0").value;
  if (leaving) return;
  if (!text.trim()) { at("input-0").focus(); return alarm("ask-alarm", "Write something first."); }
  const system = at("system").value.trim();
  const said = [...messages, { role: "user", content: text }];
  const asked = make("li", { className: "user", textContent: text });
  const bubble = make("li", { className: "assistant" });
  bubble.setAttribute("aria-busy", "true");
  at("talk").append(asked, bubble);
  at("input-0").value = "";
  at("stop").hidden = false;
  at("again").hidden = true;
  alarm("ask-alarm", "");
  const began = performance.now();
  leaving = new AbortController();
  const mine = leaving;
  let usage = null, finish = "stopped";
  try {
    const body = { model: chosen().id, messages: system ? [{ role: "system", content: system }, ...said] : said,
      stream: true, stream_options: { include_usage: true }, ...options() };
    for await (const chunk of events(await reach(CHAT, body, mine.signal))) {
      if (chunk.error) throw new Error(chunk.error.message);
      usage = chunk.usage || usage;
      const choice = chunk.choices[0];
      if (choice?.delta.content) bubble.append(choice.delta.content);
      finish = choice?.finish_reason || finish;
    }
  } catch (error) {
    if (error.status === 401) return askForToken("This is not the token of this server.");
    if (error.name !== "AbortError") alarm("ask-alarm", error.message);
    if (!bubble.textContent) {
      asked.remove(); bubble.remove();
      at("input-0").value = text;
    }
  } finally {
    bubble.removeAttribute("aria-busy");
    if (leaving === mine) leaving = null;
    at("stop").hidden = true;
    at("again").hidden = !at("talk").children.length;
  }
  if (!bubble.isConnected) return;
  messages = [...said, { role: "assistant", content: bubble.textContent }];
  const seconds = (performance.now() - began) / 1000;
  const note = finish === "length" ? "cut at the longest answer, " : finish === "stopped" ? "stopped, " : "";
  const count = usage ? usage.completion_tokens + " tokens, " : "";
  bubble.append(make("small", { textContent: note + count + seconds.toFixed(1) + " s" }));
  at("input-0").focus();
}

function options() {
  const given = { temperature: at("temperature").value, max_tokens: at("longest").value, seed: at("seed").value };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "").map(([key, value]) => [key, Number(value)]));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

async function predict() {
  const model = chosen();
  const input = Object.fromEntries(model.inputs.map((column, i) => [column, at("input-" + i).value]));
  const empty = model.inputs.findIndex(column => !input[column].trim());
  if (empty >= 0) { at("input-" + empty).focus(); return alarm("ask-alarm", "Write something first."); }
  at("go").setAttribute("aria-busy", "true");
  try {
    const answer = await call("/v1/predict", { input, model: model.id });
    alarm("ask-alarm", "");
    showAll = false;
    showAnswer(model, answer, input);
  } catch (error) {
    if (error.status === 401) askForToken("This is not the token of this server.");
    else { at("result").hidden = true; alarm("ask-alarm", error.message); }
  } finally {
    at("go").removeAttribute("aria-busy");
  }
}

function percent(p) {
  return p > 0 && p < .001 ? "< 0.1 %" : (100 * p).toFixed(1) + " %";
}

function showAnswer(model, answer, input) {
  const prediction = answer.predictions[0];
  const parts = [headline(prediction, model, input)];
  if (prediction.probabilities) parts.push(...bars(prediction, () => showAnswer(model, answer, input)));
  if (prediction.answer) parts.push(marked(input[model.inputs[1]], [{ ...prediction, label: "" }]));
  parts.push(facts([["Version", answer.model + " " + answer.version], ["Latency", answer.latency_ms.toFixed(1) + " ms"]]));
  at("result").replaceChildren(...parts);
  at("result").hidden = false;
}

function headline(prediction, model, input) {
  if ("value" in prediction) return make("p", { className: "answer", textContent: Number(prediction.value.toPrecision(6)) });
  if ("text" in prediction) {
    const given = model.task === "pretraining" ? [make("span", { className: "given", textContent: input[model.inputs[0]] })] : [];
    return make("p", { className: "written" }, ...given, prediction.text);
  }
  if ("spans" in prediction) {
    if (prediction.spans.length) return marked(input[model.inputs[0]], prediction.spans);
    return make("p", { className: "answer", textContent: "Nothing found" });
  }
  if ("answer" in prediction) return big(prediction.answer ?? "No answer",
    prediction.answer === null ? "the text does not say" : percent(prediction.probability));
  if ("label" in prediction) return big(prediction.label, percent(prediction.probabilities[prediction.label]));
  return big(prediction.labels.join(", ") || "No label", prediction.labels.length ? "" : "none reaches 50 %");
}

function big(text, note) {
  return make("p", { className: "answer", textContent: text }, make("small", { textContent: note }));
}

function marked(text, spans) {
  const characters = Array.from(text), parts = [];  // the server counts characters, not halves of pairs
  let end = 0;
  for (const span of spans) {
    const label = span.label ? [make("small", { textContent: span.label })] : [];
    parts.push(characters.slice(end, span.start).join(""),
      make("mark", { title: percent(span.probability) }, characters.slice(span.start, span.end).join(""), ...label));
    end = span.end;
  }
  return make("p", { className: "passage" }, ...parts, characters.slice(end).join(""));
}

function bars(prediction, redraw) {
  const own = "labels" in prediction;
  const ranked = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  const shown = showAll ? ranked : ranked.slice(0, Math.max(FEW, own ? prediction.labels.length : 0));
  const list = make("ul", { className: own ? "bars own" : "bars" }, ...shown.map(([label, p]) => {
    const fill = make("div", { className: "fill" });
    fill.style.setProperty("--share", (100 * p).toFixed(2) + "%");
    const track = make("div", { className: "track", ariaHidden: "true" }, fill);
    const won = own ? prediction.labels.includes(label) : label === prediction.label;
    return make("li", { className: won ? "chosen" : "" }, make("span", { className: "name", textContent: label }),
      track, make("span", { className: "share", textContent: percent(p) }));
  }));
  if (ranked.length <= shown.length && !showAll || ranked.length <= FEW) return [list];
  const more = make("button", { type: "button", className: "link",
    textContent: showAll ? "Show fewer" : "Show all " + ranked.length + " labels" });
  more.addEventListener("click", () => { showAll = !showAll; redraw(); at("result").querySelector(".link").focus(); });
  return [list, more];
}

function facts(pairs) {
  return make("dl", { className: "facts" }, ...pairs.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

function showDocs(api) {
  const schemas = api.components.schemas;
  const chats = models.find(model => model.endpoints.includes(CHAT));
  const curls = [curl("/v1/predict", { input: example() })];
  if (chats) curls.push(curl(CHAT, { model: chats.id, messages: [{ role: "user", content: "hello" }], stream: true }, "-N "));
  const cards = [make("section", { className: "sheet" },
    make("h2", { textContent: "Call it" }),
    make("p", { className: "quiet", textContent: "Everything but /healthz and /readyz wants the token. " +
      "Every answer has an x-request-id to ask about. Clients of OpenAI's API take " + location.origin +
      "/v1 as their base URL and the token as their key." }),
    ...curls.map(text => make("pre", { textContent: text, tabIndex: 0 })),
    make("h3", { textContent: "Every error has the key error, with" }), shapeTable({ $ref: "/ErrorDetail" }, schemas))];
  const order = Object.entries(api.paths).sort((a, b) => ("post" in b[1]) - ("post" in a[1]));
  for (const [path, methods] of order)
    for (const [method, operation] of Object.entries(methods)) cards.push(operationCard(path, method, operation, schemas));
  at("docs").replaceChildren(...cards);
  at("docs").hidden = false;
  at("served").replaceChildren("Machine-readable: GET /openapi.json, with the token.");
}

function curl(path, body, flags = "") {
  return "curl " + flags + location.origin + path + " \\\n  -H 'Authorization: Bearer <token>' \\\n" +
    "  -H 'Content-Type: application/json' \\\n  -d '" + JSON.stringify(body) + "'";
}

function example() {
  const columns = models[0]?.inputs || ["text"];
  return columns.length === 1 ? "a text" : Object.fromEntries(columns.map(column => [column, "a text"]));
}

function operationCard(path, method, operation, schemas) {
  const card = make("section", { className: "sheet" },
    make("h2", { className: "path" }, make("span", { className: "method", textContent: method.toUpperCase() }), path),
    make("p", { className: "quiet", textContent: operation.summary || "" }));
  const sent = operation.requestBody?.content["application/json"].schema;
  if (sent) card.append(make("h3", { textContent: "You send" }), ...shapeTables(sent, schemas));
  for (const [status, response] of Object.entries(operation.responses)) {
    const schema = response.content?.["application/json"]?.schema;
    if (status === "200" && schema?.$ref) card.append(make("h3", { textContent: "You get" }), ...shapeTables(schema, schemas));
  }
  const errors = Object.keys(operation.responses).filter(status => status >= "400");
  if (errors.length) card.append(make("h3", { textContent: "Or an error" }),
    make("p", { className: "quiet", textContent: "Status " + errors.join(", ") + ", as described above." }));
  return card;
}

function shapeTables(schema, schemas, seen = new Set()) {
  seen.add(nameOf(schema));
  const inner = Object.values(schemas[nameOf(schema)].properties).flatMap(references);
  const tables = [shapeTable(schema, schemas)];
  for (const part of inner) if (!seen.has(nameOf(part)))
    tables.push(make("h3", { textContent: nameOf(part) }), ...shapeTables(part, schemas, seen));
  return tables;
}

function references(property) {
  if (property.$ref) return [property];
  return [property.items, ...(property.anyOf || [])].filter(Boolean).flatMap(references);
}

function nameOf(schema) {
  return schema.$ref.split("/").pop();
}

function shapeTable(schema, schemas) {
  const shape = schemas[nameOf(schema)];
  const rows = Object.entries(shape.properties).map(([name, property]) => make("tr", {},
    make("th", { scope: "row", textContent: name + ((shape.required || []).includes(name) ? "" : "?") }),
    make("td", {}, kind(property), property.description ? " — " + property.description : "")));
  return make("table", { className: "shape" }, make("tbody", {}, ...rows));
}

function kind(property) {
  if (property.$ref) return nameOf(property);
  if (property.anyOf) return [...new Set(property.anyOf.filter(part => part.type !== "null").map(kind))].join(" or ");
  if ("const" in property) return "only " + JSON.stringify(property.const);
  if (property.enum) return property.enum.map(one => JSON.stringify(one)).join(" or ");
  if (property.type === "array") return "list of (" + kind(property.items) + ")";
  if (property.type === "object") return "object" + (property.additionalProperties?.type ? " of " + kind(property.additionalProperties) : "");
  return { string: "text", null: "nothing" }[property.type] || property.type || "anything";
}

at("enter").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("token").value.trim());
  at("token").value = "";
  open();
});
const send = () => chatting ? chat() : predict();
at("ask").addEventListener("submit", event => { event.preventDefault(); send(); });
at("ask").addEventListener("keydown", event => {
  const sends = event.ctrlKey || event.metaKey || chatting && !event.shiftKey && event.target.tagName === "TEXTAREA";
  if (event.key === "Enter" && sends && !event.isComposing) { event.preventDefault(); send(); }
});
at("stop").addEventListener("click", () => leaving?.abort());
at("again").addEventListener("click", () => chooseWay(true));
at("switch").addEventListener("click", event => { if (event.target.dataset.way) chooseWay(event.target.dataset.way === "chat"); });
at("ask").noValidate = true;
at("model").addEventListener("change", showFields);
at("leave").addEventListener("click", () => askForToken(""));
at(onDocs ? "to-docs" : "to-try").setAttribute("aria-current", "page");
open();
