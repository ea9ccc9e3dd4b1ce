"use strict";
// The form comes from /info, so the page is the same for every dataset.

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
let info, read, fill; // read() gives what to send, fill(sample) puts a sample in

async function request(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  const body = await response.json();
  $("key-form").hidden = response.status !== 401 && response.status !== 403;
  if (!response.ok) throw Object.assign(new Error(body.detail), { problems: body.errors || [] });
  return body;
}

// The name of a form field from the JSON path of its value.
const field = (path) => path.replace(/^\$\.instances\[0\]\['(.*)'\]$/, "$1");

function showError(place, error) {
  const problems = (error.problems || []).map((p) => `${field(p.path)}: expected ${p.expected}, received ${p.received === "null" ? "nothing" : p.received}`);
  const list = problems.map((textContent) => make("li", { textContent }));
  const text = problems.length === 1 ? problems[0] : problems.length ? "These values cannot be used:" : error.message;
  place.replaceChildren(make("div", { className: "error", role: "alert" }, text, ...(list.length > 1 ? [make("ul", {}, ...list)] : [])));
}

function showWarnings(place, warnings = []) {
  if (!warnings.length) return;
  const list = warnings.map((w) => make("li", { textContent: `${field(w.path)}: ${w.message}` }));
  place.append(make("div", { className: "warning" }, "Predicted with warnings:", make("ul", {}, ...list)));
}

const percent = (p) => `${(100 * p).toFixed(1)} %`;
const short = (number) => Number(number.toPrecision(6)).toString();

function showPrediction(answer) {
  const place = $("answer"), prediction = answer.predictions[0];
  place.replaceChildren();
  const numbers = "value" in prediction ? { [info.schema.target.name]: prediction.value } : prediction.values;
  if (numbers) {
    for (const [name, value] of Object.entries(numbers)) {
      place.append(make("p", { className: "result", textContent: short(value) }, make("small", { textContent: ` ${name}` })));
    }
    const levels = Object.entries(prediction.quantiles ?? {}).map(([level, value]) => `${short(100 * level)} %: ${short(value)}`);
    if (levels.length) place.append(make("p", { id: "quantiles", textContent: `Quantiles: ${levels.join("; ")}` }));
  } else {
    const labels = prediction.labels ?? [prediction.label];
    const share = "label" in prediction ? ` with ${percent(prediction.probability)}` : "";
    place.append(make("p", { className: "result", textContent: labels.join(", ") || "no label" }, make("small", { textContent: share })));
    const bars = Object.entries(prediction.probabilities).map(([name, p]) =>
      make("li", { className: labels.includes(name) || p === prediction.probability ? "best" : "" },
        make("span", { className: "name", textContent: name, title: name }),
        make("meter", { value: p, max: 1, ariaLabel: `${name}: ${percent(p)}` }),
        make("span", { className: "share", textContent: percent(p) })));
    place.append(make("ul", { className: "bars" }, ...bars));
  }
  const ranges = prediction.intervals ?? (prediction.interval && { [info.schema.target.name]: prediction.interval });
  const end = (number) => number === null ? "unknown" : short(number);
  const likely = prediction.set ? [prediction.set.join(", ") || "no label"]
    : Object.entries(ranges ?? {}).map(([name, { low, high }]) => `${name}: ${end(low)} to ${end(high)}`);
  if (likely.length) place.append(make("p", { id: "likely", textContent: `With 90 % confidence: ${likely.join("; ")}` }));
  for (const [output, explanation] of Object.entries(prediction.explanation ?? {})) place.append(explained(output, explanation));
  showWarnings(place, answer.warnings);
  place.append(make("p", { className: "muted", textContent: `Predicted by ${answer.model.name}, version ${answer.model.version}.` }));
}

// What each feature adds to the mean prediction, the largest first; or the tiles of an image that the answer depends on.
function explained(output, { mean, contributions, occlusion }) {
  const box = make("section", { className: "why" });
  if (occlusion) {
    const most = Math.max(...occlusion.flat().map(Math.abs), 1e-9);
    const tile = (v) => make("span", { className: v < 0 ? "down" : "up", title: short(v) });
    box.append(make("h3", { textContent: `Why ${output}` }), make("div", { className: "tiles", role: "img", ariaLabel: "The tiles of the image that the answer depends on" }));
    for (const value of occlusion.flat()) {
      const place = tile(value);
      place.style.opacity = most < 0.001 ? 0 : Math.abs(value) / most;
      box.lastChild.append(place);
    }
    box.lastChild.style.gridTemplateColumns = `repeat(${occlusion[0].length}, 1fr)`;
    box.append(make("p", { className: "muted", textContent: most < 0.001 ? "No tile alone changes the answer." : "Blue: the answer falls if this tile is grey. Red: it rises." }));
    return box;
  }
  const sorted = Object.entries(contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])), shown = sorted.slice(0, 12);
  const most = Math.max(...shown.map(([, v]) => Math.abs(v)), 1e-9);
  const rest = sorted.slice(12).reduce((sum, [, v]) => sum + v, 0);
  if (sorted.length > 12) shown.push([`${sorted.length - 12} others`, rest]);
  box.append(make("h3", { textContent: `Why ${output}` }), make("p", { className: "muted", textContent: `The mean prediction is ${Number(mean.toPrecision(3))}; each feature adds to it:` }));
  box.append(make("ul", { className: "contributions" }, ...shown.map(([name, value]) => {
    const bar = make("span", { className: value < 0 ? "down" : "up" });
    bar.style.width = `${50 * Math.min(1, Math.abs(value) / most)}%`;
    return make("li", {}, make("span", { className: "name", textContent: name, title: name }),
      make("span", { className: "track" }, bar), make("span", { className: "share", textContent: `${value < 0 ? "−" : "+"}${Number(Math.abs(value).toPrecision(3))}` }));
  })));
  return box;
}

// With what the model can add: an older one has no intervals.
function predictPath() {
  const options = [...(info.manifest.files["conformal.npy"] ? ["confidence=0.9"] : []), ...($("explain").checked ? ["explain=true"] : [])];
  return options.length ? `predict?${options.join("&")}` : "predict";
}

function showCurl(body) {
  const key = sessionStorage.getItem("key") ? " \\\n  -H \"authorization: Bearer $API_KEY\"" : "";
  const quoted = body.replaceAll("'", "'\\''");
  $("curl").textContent = `curl '${new URL(predictPath(), location.href)}' \\\n  -H 'content-type: application/json'${key} \\\n  -d '${quoted}'`;
  $("curl-box").hidden = false;
}

function rowForm(features) {
  const inputs = new Map();
  for (const [number, feature] of features.entries()) {
    const id = `feature-${number}`;
    let input, hint;
    if (feature.kind === "numeric") {
      input = make("input", { id, name: feature.name, type: "number", step: "any", required: !feature.missing, inputMode: "decimal" });
      hint = `${short(feature.minimum)} to ${short(feature.maximum)} in training` + (feature.missing ? "; may be empty" : "");
    } else if (feature.kind === "date") {
      input = make("input", { id, name: feature.name, type: feature.format.includes(":%M") || feature.parts.length > 3 ? "datetime-local" : "date", required: !feature.missing });
      hint = feature.missing ? "may be empty" : "";
    } else {
      input = make("select", { id, name: feature.name }, ...(feature.missing ? [make("option", { value: "", textContent: "(missing)" })] : []),
        ...feature.categories.map((category) => make("option", { value: category, textContent: category })));
      hint = `${feature.categories.length} categories`;
    }
    inputs.set(feature, input);
    const label = make("label", { htmlFor: id }, feature.name, make("small", { textContent: hint }));
    $("fields").append(make("div", { className: "field" }, label, input));
  }
  fill = (sample) => { for (const [feature, input] of inputs) input.value = sample[feature.name] ?? ""; };
  read = () => Object.fromEntries([...inputs].map(([feature, input]) => {
    const value = input.value === "" ? null : feature.kind === "numeric" ? Number(input.value) : input.value;
    return [feature.name, value];
  }));
}

// Left, top, width and height of the pixels for which at(x, y) is true.
function extent(width, height, at) {
  let left = width, top = height, right = 0, bottom = 0;
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (at(x, y)) {
    left = Math.min(left, x); right = Math.max(right, x + 1); top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
  }
  return [left, top, right - left, bottom - top];
}

// A copy of a drawing, centred and scaled to the size of the sample, as digits are prepared for training (LeCun et al., 1998).
function scaledToSample(sample, canvas, pen, scale) {
  const all = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  const [left, top, width, height] = extent(canvas.width, canvas.height, (x, y) => all[4 * (y * canvas.width + x)]);
  const longest = scale * Math.max(...extent(sample[0].length, sample.length, (x, y) => sample[y][x]).slice(2));
  const factor = longest / Math.max(width, height);
  const copy = make("canvas", { width: canvas.width, height: canvas.height }).getContext("2d");
  copy.fillRect(0, 0, canvas.width, canvas.height);
  const to = [(canvas.width - factor * width) / 2, (canvas.height - factor * height) / 2];
  copy.drawImage(canvas, left, top, width, height, ...to, factor * width, factor * height);
  return copy;
}

function imageForm(image) {
  const scale = 20, canvas = make("canvas", { width: image.width * scale, height: image.height * scale, tabIndex: 0 });
  canvas.setAttribute("aria-label", "Draw here with a mouse or a finger, or choose a picture below");
  canvas.setAttribute("role", "img");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let byHand = false; // a drawing has to be scaled, a picture has not
  const clear = () => { byHand = false; pen.fillStyle = "#000"; pen.fillRect(0, 0, canvas.width, canvas.height); };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  };
  let drawing = false;
  canvas.onpointerdown = (event) => { drawing = byHand = true; canvas.setPointerCapture(event.pointerId); pen.beginPath(); pen.moveTo(...place(event)); canvas.onpointermove(event); };
  canvas.onpointermove = (event) => {
    if (!drawing) return;
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: canvas.width / 12, lineCap: "round", lineJoin: "round" });
    pen.lineTo(...place(event));
    pen.stroke();
  };
  canvas.onpointerup = canvas.onpointercancel = () => { if (drawing) { drawing = false; $("form").requestSubmit(); } };
  const file = make("input", { id: "picture", type: "file", accept: "image/png,image/jpeg" });
  file.onchange = async () => {
    const picture = await createImageBitmap(file.files[0]);
    clear();
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    $("form").requestSubmit();
  };
  const empty = make("button", { type: "button", className: "quiet", id: "clear", textContent: "Clear" });
  empty.onclick = clear;
  $("reset").after(empty);
  $("fields").append(canvas, make("div", {}, make("label", { htmlFor: "picture", textContent: "Or a PNG or JPEG, light on dark: " }), file));
  fill = (sample) => {
    clear();
    sample[image.name].forEach((line, y) => line.forEach((value, x) => {
      const grey = Math.round(255 * value / image.maximum);
      pen.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
      pen.fillRect(x * scale, y * scale, scale, scale);
    }));
  };
  read = () => { // the mean of each square of the canvas
    const all = (byHand ? scaledToSample(info.schema.sample[image.name], canvas, pen, scale) : pen)
      .getImageData(0, 0, canvas.width, canvas.height).data;
    return Array.from({ length: image.height }, (_, y) => Array.from({ length: image.width }, (_, x) => {
      let sum = 0;
      for (let dy = 0; dy < scale; dy++) for (let dx = 0; dx < scale; dx++) {
        const at = 4 * ((y * scale + dy) * canvas.width + x * scale + dx);
        sum += (all[at] + all[at + 1] + all[at + 2]) / 3;
      }
      return Math.round(image.maximum * sum / (255 * scale * scale) * 100) / 100;
    }));
  };
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ instances: [read()] });
  $("predict").disabled = true;
  showCurl(body);
  try {
    showPrediction(await request(predictPath(), { method: "POST", headers: { "content-type": "application/json" }, body }));
  } catch (error) {
    showError($("answer"), error);
  }
  $("predict").disabled = false;
};
$("reset").onclick = () => { fill(info.schema.sample); };
$("copy").onclick = () => navigator.clipboard.writeText($("curl").textContent);
$("key-form").onsubmit = (event) => { event.preventDefault(); sessionStorage.setItem("key", $("key").value); start(); };

const csvField = (value) => /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : value;

async function predictFile(file) {
  const place = $("file-answer");
  place.replaceChildren(make("p", { className: "muted", textContent: `Predicting ${file.name} …` }));
  try {
    const answer = await request("predict", { method: "POST", headers: { "content-type": "text/csv" }, body: file });
    const flat = answer.predictions.map(({ values, quantiles, labels, probabilities, ...rest }) => ({
      ...rest, ...values, ...(labels && { labels: labels.join(" ") }),
      ...Object.fromEntries(Object.entries(quantiles ?? {}).map(([level, value]) => [`Q(${level})`, value])),
      ...Object.fromEntries(Object.entries(probabilities ?? {}).map(([name, p]) => [`P(${name})`, p])),
    }));
    const names = flat.length ? Object.keys(flat[0]) : [];
    const text = [names, ...flat.map(Object.values)].map((row) => row.map(csvField).join(",")).join("\n") + "\n";
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: file.name.replace(/(\.csv)?$/i, "-predictions.csv"), textContent: "Download the predictions" });
    link.id = "download";
    place.replaceChildren(make("p", {}, `${flat.length} rows predicted. `, link));
    const cell = (value) => make("td", { textContent: typeof value === "number" ? short(value) : value });
    const rows = flat.slice(0, 5).map((row) => make("tr", {}, ...Object.values(row).map(cell)));
    place.append(make("div", { className: "table", tabIndex: 0 }, make("table", {}, make("thead", {}, make("tr", {}, ...names.map((textContent) => make("th", { textContent })))), make("tbody", {}, ...rows))));
    if (flat.length > 5) place.append(make("p", { className: "muted", textContent: "The first five." }));
    showWarnings(place, answer.warnings);
  } catch (error) {
    showError(place, error);
  }
}

function prepareFile(features) {
  const drop = $("drop");
  $("file-card").hidden = false;
  $("file-hint").textContent = `with a header: ${features.map((feature) => feature.name).join(", ")}`;
  $("file").onchange = () => { if ($("file").files[0]) predictFile($("file").files[0]); $("file").value = ""; };
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); if (event.dataTransfer.files[0]) predictFile(event.dataTransfer.files[0]); };
}

async function start() {
  if (info) return;
  try {
    info = await request("info");
  } catch (error) {
    return showError($("answer"), error);
  }
  const { model, schema, manifest } = info;
  document.title = $("title").textContent = model.name;
  const { name, classes, multilabel, targets } = schema.target;
  const kind = classes ? `: ${classes.length} ${multilabel ? "labels" : "classes"}` : targets ? "" : ", a number";
  $("subtitle").textContent = `predicts ${name}${kind}`;
  $("footer").textContent = `Version ${model.version}, ${manifest.members?.length ? `mean of ${manifest.members.length} trials` : `trial ${manifest.trial}`} of ${manifest.study}, code ${manifest.git_revision.slice(0, 12)}; ` +
    Object.entries(manifest.validation).map(([name, value]) => `validation ${name} ${short(value)}`).join(", ");
  const image = schema.features[0].kind === "image" ? schema.features[0] : null;
  if (image) imageForm(image);
  else {
    // The model fills a gap even if no train row has one.
    const gaps = schema.missing_elsewhere;
    const features = schema.features.map((feature) => ({ ...feature, missing: feature.missing || gaps.includes(feature.name) }));
    rowForm(features);
    prepareFile(features);
  }
  $("explain-box").hidden = !image && !("background.npy" in manifest.files);
  $("explain").onchange = () => $("form").requestSubmit();
  fill(schema.sample);
  $("predict").disabled = $("reset").disabled = false; // until now there was no form
  $("answer").replaceChildren(make("p", { className: "muted", textContent: "Press Predict." }));
}
start();
