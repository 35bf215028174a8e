// Node's own resolver, c-ares, instead of the C library's: node_resolver.mjs NAME PORT COUNT SERVER

import { Resolver } from "node:dns/promises";
import net from "node:net";

function connect(host, port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: 5000 });
    socket.once("connect", () => socket.end());
    socket.once("close", resolve);
    socket.once("error", reject);
    socket.once("timeout", () => socket.destroy(new Error("timeout")));
    // The answer is not of interest, but without reading there is no end.
    socket.resume();
  });
}

const [name, port, count, server] = process.argv.slice(2);
const resolver = new Resolver({ timeout: 2500, tries: 2 });
resolver.setServers([server]);
for (let i = 0; i < count; i++) {
  let attempt = { ok: true, error_type: "", errno: null, message: "" };
  try {
    const [address] = await resolver.resolve4(name);
    await connect(address, Number(port));
  } catch (error) {
    const errno = error.errno === undefined ? null : -error.errno;
    attempt = { ok: false, error_type: `${error.name} ${error.code}`, errno, message: error.message };
  }
  console.log(JSON.stringify(attempt));
}
