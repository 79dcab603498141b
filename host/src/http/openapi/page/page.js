// Shows /v1/openapi.json. Everything is put into the page as text, never as markup.

const METHODS = ["get", "put", "post", "delete", "patch"];

function element(name, content, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const part of [content].flat()) {
    if (part !== undefined && part !== null) made.append(part);
  }
  return made;
}

// The name of a schema, or a short description of it.
function typeName(schema) {
  if (!schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const alternatives = schema.oneOf || schema.anyOf;
  if (alternatives) return alternatives.map(typeName).join(" or ");
  if (schema.allOf) return schema.allOf.map(typeName).join(" and ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  const type = [schema.type || "anything"].flat().join(" or ");
  return schema.enum ? schema.enum.map((value) => JSON.stringify(value)).join(" or ") : type;
}

function resolve(spec, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? spec.components.schemas[name] : schema;
}

// All properties of a schema, those of its parts included.
function properties(spec, schema, depth = 0) {
  const known = resolve(spec, schema);
  if (!known || depth > 4) return [];
  const required = new Set(known.required || []);
  const own = Object.entries(known.properties || {}).map(([name, property]) => ({
    name, property, required: required.has(name),
  }));
  return (known.allOf || []).flatMap((part) => properties(spec, part, depth + 1)).concat(own);
}

function table(heads, rows) {
  const head = element("tr", heads.map((text) => {
    const cell = element("th", text);
    cell.scope = "col";
    return cell;
  }));
  const body = rows.map((row) => element("tr", row.map((cell) => element("td", cell))));
  return element("table", [element("thead", head), element("tbody", body)]);
}

function showSchema(spec, schema) {
  const rows = properties(spec, schema).map(({ name, property, required }) => [
    element("code", name), typeName(property) + (required ? "" : ", optional"), property.description || "",
  ]);
  return rows.length ? table(["field", "type", "meaning"], rows) : null;
}

function showContent(spec, content) {
  return Object.entries(content || {}).flatMap(([mediaType, media]) => {
    const parts = [element("p", [element("code", mediaType), ` ${typeName(media.schema)}`], "quiet")];
    const isError = media.schema?.$ref?.endsWith("/Error");
    if (!isError) parts.push(showSchema(spec, media.schema));
    if (media.example !== undefined) {
      const text = typeof media.example === "string" ? media.example : JSON.stringify(media.example, null, 2);
      parts.push(element("pre", element("code", text)));
    }
    if (media.examples) {
      const rows = Object.entries(media.examples).map(([code, example]) => [element("code", code), example.summary]);
      parts.push(table(["code", "meaning"], rows));
    }
    return parts;
  });
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// A command that sends the request, for a POSIX shell.
function curl(path, method, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push("--request", method.toUpperCase());
  if ((operation.security || []).length) parts.push("--header", "\"Authorization: Bearer $SNAPBACK_KEY\"");
  const content = operation.requestBody?.content || {};
  if (content["multipart/form-data"]) {
    const [part] = Object.keys(content["multipart/form-data"].schema.properties);
    parts.push("--form", `${part}=@FILE`);
  } else if (content["application/json"]?.example !== undefined) {
    parts.push("--header", "'Content-Type: application/json'");
    parts.push("--data", quoted(JSON.stringify(content["application/json"].example)));
  } else if (content["application/octet-stream"]) {
    parts.push("--data-binary", "@FILE");
  }
  parts.push(quoted(location.origin + path));
  return parts.join(" ");
}

function showOperation(spec, path, method, operation) {
  const parameters = (operation.parameters || []).map((parameter) => [
    element("code", parameter.name), parameter.in + (parameter.required ? ", required" : ""),
    typeName(parameter.schema), parameter.description || "",
  ]);
  const body = operation.requestBody;
  const role = operation["x-role"];
  const optional = (operation.security || []).some((way) => Object.keys(way).length === 0);
  const who = role ? `Needs the role ${role}${optional ? " where keys are needed" : ""}.` : "Needs no key.";
  const replies = Object.entries(operation.responses).flatMap(([status, reply]) => [
    element("dt", status),
    element("dd", [
      Object.values(reply.content || {}).some((media) => media.examples) ? null : element("p", reply.description),
      ...Object.entries(reply.headers || {}).map(([name, header]) =>
        element("p", [element("code", name), ` ${header.description || ""}`], "quiet")),
      ...showContent(spec, reply.content),
    ]),
  ]);
  const shown = element("details", [
    element("summary", [
      element("span", method.toUpperCase(), "method"), element("code", path), ` ${operation.summary || ""}`,
    ]),
    element("div", [
      operation.description ? element("p", operation.description) : null,
      element("p", who, "quiet"),
      element("pre", element("code", curl(path, method, operation))),
      parameters.length ? element("h3", "Parameters") : null,
      parameters.length ? table(["name", "place", "type", "meaning"], parameters) : null,
      body ? element("h3", "Body") : null,
      body ? element("p", body.description || "") : null,
      ...(body ? showContent(spec, body.content) : []),
      element("h3", "Replies"),
      element("dl", replies),
    ]),
  ]);
  shown.id = operation.operationId;
  const codes = Object.values(operation.responses).flatMap((reply) =>
    Object.values(reply.content || {}).flatMap((media) => Object.keys(media.examples || {})));
  const words = [method, path, operation.summary, operation.operationId, ...codes].join(" ").toLowerCase();
  return { shown, words };
}

function showTag(spec, tag) {
  const all = Object.entries(spec.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags.includes(tag.name))
      .map((method) => showOperation(spec, path, method, item[method])));
  const section = element("section", [
    element("h2", tag.name), element("p", tag.description || "", "quiet"), ...all.map(({ shown }) => shown),
  ]);
  return { section, all };
}

function filter(tags, text) {
  const wanted = text.toLowerCase().split(/\s+/);
  let count = 0;
  for (const { section, all } of tags) {
    for (const { shown, words } of all) shown.hidden = !wanted.every((word) => words.includes(word));
    const left = all.filter(({ shown }) => !shown.hidden).length;
    section.hidden = left === 0;
    count += left;
  }
  document.getElementById("count").textContent = `${count} operations`;
}

function openNamed() {
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named instanceof HTMLDetailsElement) named.open = true;
}

async function show() {
  const about = document.getElementById("about");
  const answer = await fetch("/v1/openapi.json");
  if (!answer.ok) throw new Error(`the server answered with ${answer.status}`);
  const spec = await answer.json();
  about.textContent = `Version ${spec.info.version}. ${spec.info.description}`;
  const tags = spec.tags.map((tag) => showTag(spec, tag));
  document.getElementById("operations").replaceChildren(...tags.map(({ section }) => section));
  const input = document.getElementById("filter");
  input.addEventListener("input", () => filter(tags, input.value));
  filter(tags, input.value);
  addEventListener("hashchange", openNamed);
  openNamed();
}

show().catch((error) => {
  document.getElementById("about").textContent = `The document could not be loaded: ${error.message}`;
});
