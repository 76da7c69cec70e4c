const token = "TOKEN", at = (id) => document.getElementById(id);

// The value that the server replies with; `kind` is the type of a body that is not JSON.
async function call(path, body, kind) {
  const options = body === undefined ? {} : {
    method: "POST", body: kind ? body : JSON.stringify(body),
    headers: {"Content-Type": kind || "application/json", "X-Watershed-Token": token},
  };
  const answer = await fetch(path, options);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}
