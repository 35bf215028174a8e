// Node's fetch: fetch.mjs NAME PORT COUNT

const [name, port, count] = process.argv.slice(2);
for (let i = 0; i < count; i++) {
  let attempt = { ok: true, error_type: "", errno: null, message: "" };
  try {
    const response = await fetch(`http://${name}:${port}/`, { signal: AbortSignal.timeout(5000) });
    await response.text();
  } catch (error) {
    // What fetch throws says only that it failed; the reason is its cause, with the number negated.
    const cause = error.cause ?? error;
    const errno = cause.errno === undefined ? null : -cause.errno;
    const message = `${error.message}: ${cause.message}`;
    attempt = { ok: false, error_type: `${error.name} ${cause.code}`, errno, message };
  }
  console.log(JSON.stringify(attempt));
}
