// openapi.json, written for people: a section for each interface, an entry for each route.
"use strict";

const base = new URL(".", location).href.replace(/\/$/, "");

function add(parent, name, text, className) {
  const element = parent.appendChild(document.createElement(name));
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** A schema with its references followed. */
function resolved(description, schema) {
  while (schema.$ref) {
    schema = schema.$ref.split("/").slice(1).reduce((place, name) => place[name], description);
  }
  return schema;
}

/** What a field may hold, in a few words. */
function kindOf(description, schema) {
  const own = resolved(description, schema);
  if (own.enum) return own.enum.filter((value) => value !== null).map((value) => JSON.stringify(value)).join(" or ");
  if (own.anyOf) {
    const kinds = own.anyOf.map((choice) => kindOf(description, choice)).filter((kind) => kind !== "null");
    return [...new Set(kinds)].join(" or ");
  }
  if (own.type === "array") return `list of ${kindOf(description, own.items)}`;
  if (own.type === "integer" && own.maximum) return `number from ${own.minimum} to ${own.maximum}`;
  return own.type || "anything";
}

const told = (description, schema) => {
  const own = resolved(description, schema);
  return own.description || (own.anyOf || []).map((choice) => resolved(description, choice).description).filter(Boolean).join(" ");
};

function showFields(parent, description, schema) {
  const own = resolved(description, schema);
  if (own.anyOf && !own.properties) return own.anyOf.forEach((choice) => showFields(parent, description, choice));
  const foreign = new Set(description["x-foreign-fields"]);
  const fields = Object.entries(own.properties || {}).filter(([name]) => !foreign.has(name));
  if (!fields.length) return;
  const list = add(parent, "dl");
  for (const [name, field] of fields) {
    const term = add(list, "dt");
    add(term, "code", name);
    if ((own.required || []).includes(name)) term.append(" (required)");
    const kind = kindOf(description, field);
    const text = told(description, field);
    add(list, "dd", [kind, text].filter(Boolean).join(". "));
  }
}

function showRoute(parent, description, method, path, operation) {
  const entry = add(parent, "details");
  const summary = add(entry, "summary");
  add(summary, "code", `${method.toUpperCase()} ${path}`);
  add(summary, "span", operation.summary);
  const body = operation.requestBody?.content["application/json"];
  if (body) showFields(entry, description, body.schema);
  if (body?.example) {
    add(entry, "pre", `curl ${base}${path} -d '${JSON.stringify(body.example)}'`);
  } else if (method === "get" && !path.includes("{")) add(entry, "pre", `curl ${base}${path}`);
  const statuses = add(entry, "ul");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const item = add(statuses, "li");
    add(item, "code", status === "default" ? "other" : status);
    item.append(` ${answer.description}`);
  }
}

function showAll(description) {
  for (const { name, description: text } of description.tags) {
    const section = add($routes, "section");
    add(section, "h2", name);
    if (text) add(section, "p", text, "help");
    for (const [path, operations] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        if (operation.tags[0] === name) showRoute(section, description, method, path, operation);
      }
    }
  }
}

const $routes = document.getElementById("routes");
fetch("openapi.json")
  .then((answer) => answer.json())
  .then(showAll)
  .catch((error) => {
    const problem = document.getElementById("problem");
    problem.hidden = false;
    problem.textContent = `No answer from the server: ${error.message}`;
  });
