// Shows /openapi.json, and sends a call to the daemon that this page came from. Text only ever goes in as text.
"use strict";

const element = (name, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children.filter((child) => child !== null));
  return made;
};

const table = (head, rows) =>
  element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col", textContent: title })))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))));

const code = (text) => element("code", { textContent: text });

class Description {
  constructor(document) {
    this.document = document;
  }

  resolve(schema) {
    return schema.$ref ? { name: schema.$ref.split("/").pop(), ...this.document.components.schemas[schema.$ref.split("/").pop()] } : schema;
  }

  typeOf(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
    const choices = schema.anyOf || schema.oneOf;
    if (choices) return choices.map((each) => this.typeOf(each)).join(" | ");
    if (schema.type === "array") return `${this.typeOf(schema.items || {})}[]`;
    const limits = [
      schema.minimum !== undefined ? `at least ${schema.minimum}` : "", schema.maximum !== undefined ? `at most ${schema.maximum}` : "",
      schema.format || "", schema.default !== undefined && schema.default !== null ? `default ${JSON.stringify(schema.default)}` : "",
    ].filter(Boolean);
    return `${[].concat(schema.type || "any").join(" | ")}${limits.length ? ` (${limits.join(", ")})` : ""}`;
  }

  fields(schema) {
    const { properties = {}, required = [] } = this.resolve(schema);
    return Object.entries(properties).map(([name, each]) =>
      [code(required.includes(name) ? name : `${name}?`), this.typeOf(each), each.description || ""]);
  }

  example(schema, depth = 0) {
    const found = this.resolve(schema);
    if (found.const !== undefined) return found.const;
    if (found.enum) return found.enum[0];
    const choices = found.anyOf || found.oneOf;
    if (choices) return this.example(choices[0], depth);
    const type = [].concat(found.type)[0];
    if (type === "object") {
      const names = depth < 3 ? (found.required || []) : [];
      return Object.fromEntries(names.map((name) => [name, this.example(found.properties[name], depth + 1)]));
    }
    if (type === "array") return [this.example(found.items || {}, depth + 1)];
    if (type === "integer") return Math.max(1, found.minimum || 0);
    return type === "boolean" ? true : "";
  }
}

const form = (description, method, path, operation) => {
  const inputs = operation.parameters.map((parameter) => {
    const input = element("input", { required: Boolean(parameter.required) });
    if (parameter.name === "Idempotency-Key") input.value = crypto.randomUUID ? crypto.randomUUID() : String(Date.now());
    return { parameter, input };
  });
  const schema = operation.requestBody?.content["application/json"].schema;
  const body = schema ? element("textarea", { value: JSON.stringify(description.example(schema), null, 2) }) : null;
  const answer = element("pre", { hidden: true });
  const send = async (event) => {
    event.preventDefault();
    const headers = {}, query = new URLSearchParams();
    let address = path;
    const key = document.getElementById("key").value;
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body) headers["Content-Type"] = "application/json";
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value) headers[parameter.name] = input.value;
    }
    const suffix = query.size ? `?${query}` : "";
    answer.hidden = false;
    try {
      const response = await fetch(address + suffix, { method, headers, body: body?.value });
      const text = await response.text();
      const isJson = (response.headers.get("Content-Type") || "").includes("json");
      answer.textContent = `${response.status} ${response.statusText}\n\n${isJson ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
    } catch (error) {
      answer.textContent = `No answer: ${error.message}`;
    }
  };
  return element("form", { onsubmit: send },
    element("h3", { textContent: "Try it" }),
    ...inputs.map(({ parameter, input }) => element("label", {}, `${parameter.name} (${parameter.in})`, input)),
    body ? element("label", {}, "body", body) : null,
    element("p", {}, element("button", { textContent: "Send" })),
    answer);
};

const call = (description, path, method, operation) => {
  const inside = element("div");
  const details = element("details", { className: "call" },
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("span", { className: "path", textContent: path }),
      element("span", { textContent: operation.summary || "" })),
    inside);
  details.dataset.words = `${method} ${path} ${operation.summary} ${operation.description || ""}`.toLowerCase();
  const fill = () => {
    if (inside.childElementCount) return;
    if (operation.description) inside.append(element("p", { textContent: operation.description }));
    const schema = operation.requestBody?.content["application/json"].schema;
    if (schema) inside.append(element("h3", { textContent: "Body" }), table(["field", "type", ""], description.fields(schema)));
    const answers = Object.entries(operation.responses).map(([status, response]) => {
      const [media] = Object.values(response.content || {});
      return [code(status), media?.schema ? description.typeOf(media.schema) : "", response.description];
    });
    inside.append(element("h3", { textContent: "Answers" }), table(["status", "type", ""], answers));
    for (const response of Object.values(operation.responses).slice(0, 1)) {
      const [media] = Object.values(response.content || {});
      const fields = media?.schema ? description.fields(media.schema) : [];
      if (fields.length) inside.append(element("h3", { textContent: description.typeOf(media.schema) }), table(["field", "type", ""], fields));
    }
    inside.append(form(description, method.toUpperCase(), path, operation));
  };
  details.addEventListener("toggle", fill);
  return details;
};

const show = (document_) => {
  const description = new Description(document_);
  const groups = new Map();
  for (const [path, operations] of Object.entries(document_.paths)) {
    const [, first, second] = path.split("/");
    const name = first === "v1" ? second : "operating it";
    if (!groups.has(name)) groups.set(name, []);
    for (const [method, operation] of Object.entries(operations)) groups.get(name).push(call(description, path, method, operation));
  }
  document.getElementById("version").textContent = document_.info.version;
  document.getElementById("calls").replaceChildren(...[...groups].map(([name, calls]) =>
    element("section", {}, element("h2", { textContent: name }), ...calls)));
  document.getElementById("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const each of document.querySelectorAll("details.call")) each.hidden = !words.every((word) => each.dataset.words.includes(word));
    for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector("details.call:not([hidden])");
  });
};

fetch("/openapi.json").then((response) => response.json()).then(show).catch((error) => {
  document.getElementById("calls").textContent = `The description could not be read: ${error.message}`;
});
