// better-sse on node:http, one channel for all; which reads its rate from standard input like the other servers.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [, , folder, port] = process.argv;
const { createSession, createChannel } = await import(createRequire(folder + "/").resolve("better-sse"));

const EVENT = "BTC-PERPETUAL";
const channel = createChannel();
let number = 1763668800000, rate = 0, timer = null, newest = null;

function publish() {
  number += 1;
  const made = process.hrtime.bigint(); // CLOCK_MONOTONIC
  const price = `${made / 1000000000n}.${String(made % 1000000000n).padStart(9, "0")}`;
  newest = `{"ticker":"${EVENT}","price":${price},"timestamp":${Math.floor(number / 1000)},"exchange_timestamp":${number},` +
    `"last":64250.13,"bid":64250.12,"ask":64250.14}`;
  channel.broadcast(newest, EVENT, { eventId: `1-${number}` });
}

const server = createServer(async (request, response) => {
  const session = await createSession(request, response, { serializer: (text) => text, keepAlive: null });
  if (newest !== null) session.push(newest, EVENT, `1-${number}`);
  channel.register(session);
});
server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => console.log(`ready ${port}`));

const lines = createInterface({ input: process.stdin });
lines.on("line", (text) => {
  rate = Number(text);
  clearInterval(timer);
  if (rate > 0) { publish(); timer = setInterval(publish, 1000 / rate); }
  console.log(`number ${number}`);
});
lines.on("close", () => process.exit(0));
